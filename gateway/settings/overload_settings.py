"""The setting that keeps a core from more calls than it can answer soon."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings import parsers as p
from gateway.settings.spec import group
from gateway.settings.tls_settings import TlsSettings

_overload = group("Overload of the core")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OverloadSettings(TlsSettings):
    """Part of ``Settings``: what a slow core is spared."""

    core_adaptive_limit: bool = _overload(
        p.BOOLEAN,
        "false",
        "Whether each worker limits its questions to each address of the core that are without"
        " their head, learning from how long heads take; those above that are answered 503"
        " `OVERLOADED`. Document calls go first, with places of their own. For cores that answer"
        " with their head when the work is done, not at once: see docs/operations.md.",
    )
