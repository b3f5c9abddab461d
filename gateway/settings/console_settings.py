"""The setting of the console, and which pages are the gateway's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.domain.own_pages import origin_of
from gateway.settings import parsers as p
from gateway.settings.sign_in_settings import SignInSettings
from gateway.settings.spec import group

_console = group("Console")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ConsoleSettings(SignInSettings):
    """Part of ``Settings``: the pages for people at ``/console``."""

    console: str = _console(
        p.choice("on", "off"),
        "on",
        "Whether there is a web console at `/console`, to which a browser is led from `/`. `off`:"
        " no such route, and nothing of it is loaded.",
    )

    @property
    def serves_console(self) -> bool:
        return self.console == "on"


def own_origins(settings: Any) -> tuple[str, ...]:
    """Where browsers find the gateway's own pages: at its public address.

    Where none is given there are no more than the two names of this machine.
    """
    if settings.public_url is not None:
        return (origin_of(settings.public_url),)
    scheme = "http" if settings.tls_cert_file is None else "https"
    port = settings.server_port
    return tuple(origin_of(f"{scheme}://{host}:{port}") for host in ("127.0.0.1", "localhost"))
