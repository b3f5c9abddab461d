"""The setting of the console, and which pages are the gateway's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.domain.own_pages import origin_of
from gateway.settings import parsers as p
from gateway.settings.sign_in_settings import SignInSettings
from gateway.settings.spec import group

_console = group("Console")
_THIS_MACHINE = ("127.0.0.1", "localhost")


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

    Where none is given there are no more than the two names of this machine; where one of them is,
    a browser may be given the other.
    """
    scheme = "http" if settings.tls_cert_file is None else "https"
    url = settings.public_url or f"{scheme}://{_THIS_MACHINE[0]}:{settings.server_port}"
    parts = urlsplit(url)
    if parts.hostname not in _THIS_MACHINE:
        return (origin_of(url),)
    port = "" if parts.port is None else f":{parts.port}"
    return tuple(origin_of(f"{parts.scheme}://{host}{port}") for host in _THIS_MACHINE)
