"""Settings that are good, for tests that change one of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.settings import Settings

SECRET = "s3cr3t-" * 8
REQUIRED: Mapping[str, str] = {
    "GATEWAY_JWT_SECRET": SECRET,
    "GATEWAY_SERVICES_CORE": "http://core:8100",
    "GATEWAY_CORE_TOKEN": "core-token-of-the-test",
    "GATEWAY_SERVICES_TEMPORAL": "temporal:7233",
    "GATEWAY_S3_BUCKET": "documents",
    "GATEWAY_S3_KEYS_BUCKET": "gateway-keys",
    "GATEWAY_S3_ACCESS_KEY": "access-key-of-the-test",
    "GATEWAY_S3_SECRET_KEY": "secret-key-of-the-test",
    "GATEWAY_USERS_FILE": "/etc/gateway/users.json",
}


def load(config_file: Path | None = None, **more: str) -> Settings:
    """The required settings and ``more``; an empty text leaves one out."""
    return Settings.load({**REQUIRED, **more}, config_file)
