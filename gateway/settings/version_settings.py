"""The setting of versions of the API that have ended."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings import parsers as p
from gateway.settings.openai_settings import OpenAiSettings
from gateway.settings.spec import group

_versions = group("Versions of the API")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VersionSettings(OpenAiSettings):
    """Part of ``Settings``: what becomes of what is past its end."""

    serve_ended_versions: bool = _versions(
        p.BOOLEAN,
        "false",
        "Whether routes are served past their sunset, as long as this release has them, instead of"
        " 410: for a site whose clients need longer. See docs/versions.md.",
    )
