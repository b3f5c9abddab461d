"""API keys: how one is spelled, what is stored of it, and when it is valid.

A key reads ``kbg_<key_id>_<secret><checksum>``. The id finds the record, the secret proves the
right to use it, and the checksum tells typos and made-up keys without asking anybody
(``key_checksums.py``). The secret has 256 random bits, so a plain SHA-256 is what is stored: there
is nothing to guess, and a request costs no password hash. Times are Unix seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.domain.key_checksums import BASE62, CHARS, KeyChecksums, is_plain, plain_checksum

PREFIX: Final = "kbg_"
KEYS_PER_OWNER_LIMIT: Final = 100
# A key can be rotated again during an overlap; each rotation leaves one more secret behind.
SECRETS_LIMIT: Final = 5
NAME_LIMIT_CHARS: Final = 100
LIFETIME_LIMIT_S: Final = 10 * 365 * 24 * 3600
OVERLAP_LIMIT_S: Final = 7 * 24 * 3600

# No upper case: the id is part of object keys, and some stores' file systems fold case.
_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ID_CHARS: Final = 16  # 80 bits
_SECRET_CHARS: Final = 43  # 256 bits
_KEY_ID = re.compile(rf"[a-z2-7]{{{_ID_CHARS}}}\Z")
# The same for OpenAPI's readers, to whom ``$`` is the very end.
KEY_ID_PATTERN: Final = f"^[a-z2-7]{{{_ID_CHARS}}}$"
_KEY = re.compile(
    rf"{PREFIX}(?P<id>[a-z2-7]{{{_ID_CHARS}}})_"
    rf"(?P<secret>[0-9A-Za-z]{{{_SECRET_CHARS}}})(?P<sum>[0-9A-Za-z]{{{CHARS}}})\Z"
)


@dataclass(frozen=True, slots=True)
class KeySecret:
    """One secret of a key, as a hash. ``expires_at`` (Unix seconds) ends a rotation's overlap."""

    sha256: str = field(repr=False)
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as stored: never the secret itself. Times are Unix seconds."""

    key_id: str
    tenant: str
    owner: str
    name: str
    scopes: frozenset[str]
    secrets: tuple[KeySecret, ...]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A record with the store's version of it (an ETag), for conditional writes."""

    record: KeyRecord
    version: str


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A key as a request brought it: well spelled, which proves nothing yet.

    ``made_here``: its checksum proves that it was given out by this gateway, whatever became of it.
    """

    key_id: str
    secret: str = field(repr=False)
    made_here: bool = False


def is_key_id(text: str) -> bool:
    """Whether ``text`` is spelled as an id; any other spelling names nothing (404)."""
    return _KEY_ID.match(text) is not None


def new_key_id() -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARS))


def new_secret() -> str:
    return "".join(secrets.choice(BASE62) for _ in range(_SECRET_CHARS))


def format_key(key_id: str, secret: str, checksums: KeyChecksums | None = None) -> str:
    """The whole key, as its owner sees it once; without ``checksums`` one of the old form."""
    body = f"{PREFIX}{key_id}_{secret}"
    return body + (plain_checksum(body) if checksums is None else checksums.of(body))


def parse_key(text: str, checksums: KeyChecksums | None = None) -> PresentedKey | None:
    """The parts of a key, or ``None`` when it is misspelled or certainly made up.

    Without ``checksums`` a key of the old form is all that is taken.
    """
    match = _KEY.match(text)
    if match is None:
        return None
    body, checksum = text[:-CHARS], match["sum"]
    if checksums is None:
        made = None if is_plain(body, checksum) else False
    else:
        made = checksums.made(body, checksum)
    return None if made is False else PresentedKey(match["id"], match["secret"], made is True)


def secret_hash(secret: str) -> str:
    """SHA-256 in lower-case hex."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()


def matching_secret(record: KeyRecord, secret: str) -> KeySecret | None:
    """The stored secret that ``secret`` is; all are compared, each in constant time."""
    presented = secret_hash(secret)
    found = None
    for stored in record.secrets:
        if hmac.compare_digest(stored.sha256, presented):
            found = stored
    return found


def is_over(expires_at: int | None, now: float) -> bool:
    return expires_at is not None and now >= expires_at


def is_dead(record: KeyRecord, now: float) -> bool:
    """Whether the key has ended for good: revoked or expired."""
    return record.revoked_at is not None or is_over(record.expires_at, now)


def earliest(*times: int | None) -> int | None:
    """The earliest of some times; ``None`` stands for never."""
    return min((time for time in times if time is not None), default=None)


def rotated(record: KeyRecord, secret: str, now: float, overlap_s: int) -> KeyRecord:
    """The record with a new secret; every older one ends ``overlap_s`` from now at the latest."""
    end = int(now) + overlap_s
    older = (replace(old, expires_at=earliest(old.expires_at, end)) for old in record.secrets)
    living = tuple(old for old in older if not is_over(old.expires_at, now))
    return replace(record, secrets=(KeySecret(secret_hash(secret)), *living))


def request_faults(
    name: str, scopes: Iterable[str], expires_in_s: int | None, allowed: frozenset[str]
) -> dict[str, str]:
    """What is wrong with a request for a new key: field → what was expected."""
    faults = {}
    if not 1 <= len(name) <= NAME_LIMIT_CHARS or not name.isprintable() or not name.strip():
        faults["name"] = f"must be 1 to {NAME_LIMIT_CHARS} printable characters"
    if expires_in_s is not None and not 1 <= expires_in_s <= LIFETIME_LIMIT_S:
        faults["expires_in"] = f"must be 1 to {LIFETIME_LIMIT_S} seconds"
    return faults | scope_faults(scopes, allowed)


def scope_faults(scopes: Iterable[str], allowed: frozenset[str]) -> dict[str, str]:
    """A key with no scope could do nothing, and one with an unknown scope not what was meant."""
    listed = list(scopes)
    if not listed:
        return {"scopes": "must name at least one action"}
    return {
        f"scopes[{index}]": "is not an action a key can have"
        for index, scope in enumerate(listed)
        if scope not in allowed
    }
