"""API keys: their format, their record, and when one still stands."""

from __future__ import annotations

from dataclasses import dataclass, field


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
