"""Cookies of the gateway's own: their names, how they are found in a request, how they are set.

Two kinds: a session, and one for each sign-in under way. Over HTTPS their names begin with
``__Host-``, which a browser takes only with ``Secure``, for the whole host and from this very host:
no other name of the domain, and nobody on a plain connection, can set them. Over plain HTTP, which
settings allow on loopback alone, browsers take no such name.

Sources: RFC 6265; draft-ietf-httpbis-rfc6265bis (4.1.3.2, prefixes; 5.6.7, ``SameSite``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

# Browsers drop a cookie whose name and value have more than 4,096 bytes; some count all of it.
COOKIE_LIMIT_BYTES: Final = 3_800
# Sign-ins that one browser may have under way: tabs that are restored at once begin one each. With
# more the oldest are dropped, so that a page that begins many fills no head.
SIGN_INS_LIMIT: Final = 4
# Of a state, as much as tells a browser's few sign-ins apart.
_TOLD_APART_CHARS: Final = 12
_STATE_PART = re.compile(r"[A-Za-z0-9_-]{12}\Z")


@dataclass(frozen=True, slots=True)
class CookieNames:
    """Args: ``secure`` says whether browsers reach the gateway over HTTPS."""

    secure: bool
    session: str = field(init=False)
    _sign_in: str = field(init=False)

    def __post_init__(self) -> None:
        prefix = "__Host-" if self.secure else ""
        object.__setattr__(self, "session", f"{prefix}kbg-session")
        object.__setattr__(self, "_sign_in", f"{prefix}kbg-sign-in-")

    def sign_in(self, state: str) -> str:
        """The cookie of the sign-in with this state; a state that is none of ours names none."""
        part = state[:_TOLD_APART_CHARS]
        return f"{self._sign_in}{part}" if _STATE_PART.match(part) else self._sign_in

    def sign_ins(self, cookies: Mapping[str, Sequence[str]]) -> list[str]:
        """The names of all sign-ins under way."""
        return [name for name in cookies if self._is_of_sign_in(name)]

    def _is_of_sign_in(self, name: str) -> bool:
        prefix, part = name[: len(self._sign_in)], name[len(self._sign_in) :]
        return prefix == self._sign_in and _STATE_PART.match(part) is not None

    def set(self, name: str, value: str, max_age_s: int) -> str:
        """A ``Set-Cookie`` that lasts so long; scripts never see it.

        ``Lax``: it comes along when the provider, or a link, leads a browser here, and with nothing
        else that another site's page sends.
        """
        secure = "; Secure" if self.secure else ""
        return f"{name}={value}; Path=/; Max-Age={max_age_s}{secure}; HttpOnly; SameSite=Lax"

    def drop(self, name: str) -> str:
        """A ``Set-Cookie`` that ends it."""
        return self.set(name, "", 0)


def read_cookies(lines: Sequence[str]) -> dict[str, list[str]]:
    """All cookies of a request, each with every value that was sent under its name, in order.

    One name with two values is for whoever asks to judge: a browser sends two where somebody has
    set a second one for another path.
    """
    found: dict[str, list[str]] = {}
    for name, value in _pairs(lines):
        found.setdefault(name, []).append(value)
    return found


def values_of(lines: Sequence[str], name: str) -> list[str]:
    """The values of one cookie. Most requests have none: nothing is made of the others."""
    if not any(name in line for line in lines):
        return []
    return [value for found, value in _pairs(lines) if found == name]


def _pairs(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        for part in line.split(";"):
            name, separator, value = part.strip(" \t").partition("=")
            if separator:
                yield name, value
