"""What a reload takes over, and what it cannot; ``services.Services.reload`` does it."""

from __future__ import annotations

from gateway.adapters.rego import RegoPolicy
from gateway.errors import PolicyBroken
from gateway.ports import Policy
from gateway.settings import SPECS, Settings

# What a running gateway takes over at a reload.
RELOADED = frozenset(
    {
        *("jwt_secret", "jwt_secret_previous", "jwt_expiration", "jwt_skew"),
        *("jwt_issuer", "jwt_audience", "core_token"),
        *("users_file", "admin_username", "admin_password", "admin_password_hash", "admin_tenant"),
        *("s3_access_key", "s3_secret_key", "s3_keys_access_key", "s3_keys_secret_key"),
    }
)


def needing_restart(before: Settings, after: Settings) -> list[str]:
    """The names of settings that changed and that only a new process takes over."""
    return sorted(
        spec.env or name
        for name, spec in SPECS.items()
        if name not in RELOADED and getattr(before, name) != getattr(after, name)
    )


async def policy_faults(policy: Policy) -> list[str]:
    """What is wrong with the policy's files; an OPA server sees to its own."""
    if not isinstance(policy, RegoPolicy):
        return []
    try:
        await policy.try_load()
    except PolicyBroken as exc:
        return [f"policy: {exc.__cause__ or exc.message}"]
    return []
