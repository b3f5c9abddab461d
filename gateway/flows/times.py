"""Times in the format of the API."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


# A credential that is used again and again ends at one time, and each answer may tell it.
@lru_cache(maxsize=1024)
def rfc3339(unix_seconds: float) -> str:
    """RFC 3339 in UTC, whole seconds: ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(int(unix_seconds), UTC).isoformat()[:19] + "Z"
