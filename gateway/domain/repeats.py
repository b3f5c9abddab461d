"""A request that is sent again with the same ``Idempotency-Key``: whose it is, and which.

By draft-ietf-httpapi-idempotency-key-header-07. The key is a String of RFC 8941, in quotes and
without parameters; the same text without quotes, as most clients send it, is the same key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

HEADER = "Idempotency-Key"
MOST_CHARACTERS = 255
# What becomes of requests with a key, as they are counted.
OUTCOMES = (
    *("made", "repeated", "resumed", "busy", "mismatch", "failed", "ignored", "unavailable"),
)
# What may stand without quotes: nothing that would mean something else in a structured field.
_BARE = re.compile(rf"[!#-+\-./0-:<-\[\]-~]{{1,{MOST_CHARACTERS}}}\Z")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"\Z')
_ESCAPED = re.compile(r'\\(["\\])')
PATTERN = (
    rf"^(?:[!#-+\-./0-:<-\[\]-~]{{1,{MOST_CHARACTERS}}}"
    rf'|"(?:[ !#-\[\]-~]|\\["\\]){{1,{MOST_CHARACTERS}}}")$'
)


class NoKey(ValueError):
    """The header is there and is no key."""


def read_key(lines: Sequence[str]) -> str | None:
    """The key of the header's lines, without quotes; ``None`` where there are none.

    Raises:
        NoKey: it is sent twice, or is neither a quoted nor a bare key.
    """
    if not lines:
        return None
    if len(lines) > 1:
        raise NoKey
    text = lines[0].strip(" ")
    quoted = _QUOTED.match(text)
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else text
    if len(key) > MOST_CHARACTERS or not (quoted or _BARE.match(text)):
        raise NoKey
    return key


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with a key, as it is remembered.

    Attributes:
        name: of this key of this caller on this route; nothing of them can be read out of it.
        fingerprint: of all that the request says. Two with one name and not one fingerprint are not
            the same request.
    """

    name: str
    fingerprint: str


def asked(
    *, tenant: str, subject: str, method: str, route: str, key: str, target: str, body: bytes
) -> Asked:
    """``route`` is the template; ``target`` the path and query, ``body`` what was read of it.

    Of the body its meaning and not its bytes: a client that sends a form again makes up another
    boundary, and one that writes JSON another order of the same fields.
    """
    return Asked(
        name=_digest(tenant, subject, method, route, key),
        fingerprint=_digest(method, target, body),
    )


def _digest(*parts: str | bytes) -> str:
    """Each part with its length before it, so that no two lists of parts are one text."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered. ``body`` is empty where it is made again for each repeat."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of the wish to do it.

    ``first``: nobody did before. ``again``: somebody began and did not get to its end. ``busy``:
    somebody is at it. ``other``: the key is another request's. ``made``: ``answer`` tells how.
    ``id`` is what the thing that is made is called, the same for all of them.
    """

    state: Literal["first", "again", "busy", "other", "made"]
    id: str = ""
    answer: KeptAnswer | None = None
