"""One account as the users file has it: read into a ``User``, checked, and written again.

    "alice": {
        "tenant": "acme", "roles": ["editor"], "password_hash": "$argon2id$…",
        "password_changed_at": "2026-01-31T08:00:00Z", "disabled": false,
        "tokens_valid_after": "2026-02-01T09:30:00Z"}

``tokens_valid_after`` may be missing; ``gateway user disable`` and ``enable`` write it.

People of the company's provider need no account. An entry whose name is that of such a person
(``oidc-`` and a digest) changes what he may: ``{"disabled": true}``, or ``{"roles": ["reader"]}``
in place of the roles that his token gives him. No other account may have a name that begins so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.adapters.argon2_passwords import hash_fault
from gateway.domain.company import NAMESPACE, is_company_name, is_company_subject
from gateway.domain.identity import User, is_name, is_role

# A time in an account may be a little ahead, as clocks are; further ahead it is a typing error that
# would end every token issued elsewhere until then.
_AHEAD_LIMIT_S = 3600


class UsersFileError(Exception):
    """The accounts cannot be read or written; the text says which entry, and is fit to show."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A local account."""

    tenant: str
    roles: list[str]
    password_hash: str
    password_changed_at: datetime
    disabled: bool = False
    tokens_valid_after: datetime | None = None


class _PersonEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is said of a person of the company."""

    roles: list[str] | None = None
    disabled: bool = False
    tokens_valid_after: datetime | None = None


def user_of(name: str, raw: Any) -> User:
    """The account of ``name``. Raises ``UsersFileError``."""
    try:
        user = _person(name, raw) if is_company_name(name) else _local_user(name, raw)
    except (msgspec.ValidationError, ValueError, OverflowError) as exc:
        raise UsersFileError(f"user {name!r}: {exc}") from exc
    fault = person_fault(user) if is_company_name(name) else user_fault(user)
    if fault:
        raise UsersFileError(f"user {name!r}: {fault}")
    return user


def entry_of(user: User) -> Mapping[str, Any]:
    """The account as it is written."""
    entry: dict[str, Any] = {}
    if not is_company_name(user.subject):
        entry["tenant"] = user.tenant
    if not user.roles_of_claims:
        entry["roles"] = sorted(user.roles)
    if not is_company_name(user.subject):
        entry["password_hash"] = user.password_hash
        entry["password_changed_at"] = _rfc3339(user.password_changed_at)
    entry["disabled"] = user.disabled
    if user.tokens_valid_after:
        entry["tokens_valid_after"] = _rfc3339(user.tokens_valid_after)
    return entry


def user_fault(user: User) -> str | None:
    """What is wrong with a local account, as ``"tenant 'A B' …"``, or ``None``."""
    if not is_name(user.subject):
        return f"name {user.subject!r} is not a name: lower-case letters, digits, '-', '_', max. 64"
    if is_company_name(user.subject):
        return f"name {user.subject!r} begins with {NAMESPACE!r}, as the company's people alone do"
    if not is_name(user.tenant):
        return f"tenant {user.tenant!r} is not a name: lower-case letters, digits, '-', '_'"
    if fault := _roles_fault(user.roles):
        return fault
    if fault := hash_fault(user.password_hash):
        return f"password_hash {fault}"
    return None


def person_fault(user: User) -> str | None:
    """What is wrong with what is said of a person of the company, or ``None``."""
    if not is_company_subject(user.subject):
        return (
            f"name {user.subject!r} begins with {NAMESPACE!r}, as the company's people alone do,"
            " and is nobody's: theirs goes on with 32 letters and digits"
        )
    return _roles_fault(user.roles)


def _roles_fault(roles: Iterable[str]) -> str | None:
    bad = sorted(role for role in roles if not is_role(role))
    return (
        f"role {bad[0]!r} is not a role name: lower-case letters and '-', max. 32" if bad else None
    )


def _local_user(name: str, raw: Any) -> User:
    entry = msgspec.convert(raw, _Entry)
    return User(
        subject=name,
        tenant=entry.tenant,
        roles=frozenset(entry.roles),
        password_hash=entry.password_hash,
        password_changed_at=int(_unix_s(entry.password_changed_at, "password_changed_at")),
        disabled=entry.disabled,
        tokens_valid_after=_valid_after(entry.tokens_valid_after),
    )


def _person(name: str, raw: Any) -> User:
    entry = msgspec.convert(raw, _PersonEntry)
    return User(
        subject=name,
        tenant="",
        roles=frozenset(entry.roles or ()),
        password_hash="",
        disabled=entry.disabled,
        tokens_valid_after=_valid_after(entry.tokens_valid_after),
        roles_of_claims=entry.roles is None,
    )


def _valid_after(moment: datetime | None) -> int:
    """In Unix seconds, 0 for an account that was never disabled; ``ValueError``."""
    if moment is None:
        return 0
    name = "tokens_valid_after"
    # Rounded up: a token of the second in which it was written is an earlier one.
    seconds = math.ceil(_unix_s(moment, name))
    if seconds > time.time() + _AHEAD_LIMIT_S:
        raise ValueError(f"{name} is in the future: no token issued until then would be valid")
    return seconds


def _unix_s(moment: datetime, name: str) -> float:
    if moment.tzinfo is None:
        raise ValueError(f"{name} needs a time zone ('Z')")
    return moment.timestamp()


def _rfc3339(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat().replace("+00:00", "Z")
