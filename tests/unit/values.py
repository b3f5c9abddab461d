"""Values that a gateway takes from its settings, for tests that are about something else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.domain.documents import ALLOWED_TYPES, MIB, UploadRules
from gateway.domain.tokens import TokenSettings

# What an ``Authenticator`` remembers, and for how long.
MEMORY: dict[str, Any] = {"key_ttl_s": 5.0, "max_keys": 10_000, "max_tokens": 10_000}
_RULES = UploadRules(
    types=ALLOWED_TYPES,
    limit_bytes=1024 * MIB,
    multipart_threshold_bytes=100 * MIB,
    part_bytes=16 * MIB,
    form_lifetime_s=900,
)


def upload_rules(**changes: Any) -> UploadRules:
    return replace(_RULES, **changes)


def token_settings(*secrets: bytes, **changes: Any) -> TokenSettings:
    return replace(
        TokenSettings(
            secrets=secrets,
            issuer="knowledge-base-gateway",
            audience="knowledge-base",
            lifetime_s=24 * 3600,
            skew_s=30,
        ),
        **changes,
    )
