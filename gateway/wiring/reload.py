"""Which settings a running gateway takes over at a reload; ``services.Services.reload`` does it."""

from __future__ import annotations

from gateway.settings import SPECS, Settings
from gateway.wiring import dependencies

# Those of tokens and accounts; each dependency's declaration names its own.
_OF_IDENTITY = frozenset(
    {
        *("jwt_secret", "jwt_secret_previous", "jwt_expiration", "jwt_skew"),
        *("jwt_issuer", "jwt_audience", "keys_secret", "keys_secret_previous"),
        *("users_file", "admin_username", "admin_password", "admin_password_hash", "admin_tenant"),
    }
)


def needing_restart(before: Settings, after: Settings) -> list[str]:
    """The names of settings that changed and that only a new process takes over."""
    reloaded = _OF_IDENTITY | dependencies.reloaded_settings()
    return sorted(
        spec.env or name
        for name, spec in SPECS.items()
        if name not in reloaded and getattr(before, name) != getattr(after, name)
    )
