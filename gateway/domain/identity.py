"""Who is asking: names, users and the principal a request runs as (contract, section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

# Tenant and subject become parts of object keys, workflow ids and headers: this pattern is what
# makes "ownership by construction" safe. ``\Z`` and not ``$``, which also accepts a newline.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
ROLE = re.compile(r"[a-z][a-z-]{0,31}\Z")

AuthMethod = Literal["jwt", "api_key", "oidc", "session"]


def is_name(text: str) -> bool:
    """Whether ``text`` may be a tenant or a subject."""
    return NAME.match(text) is not None


def is_role(text: str) -> bool:
    return ROLE.match(text) is not None


@dataclass(frozen=True, slots=True)
class User:
    """One account, as the users file (or the environment's one admin) has it.

    Times are Unix seconds. A token issued before ``tokens_valid_after`` is refused: that is when
    the account was disabled last, so that enabling it revives none. ``password_changed_at`` says
    the same of a token that does not name the password it was issued for.

    What the file says of a person of the company (``domain.company``) is one, too, with neither
    tenant nor password; ``roles_of_claims`` where it changes nothing about his roles.
    """

    subject: str
    tenant: str
    roles: frozenset[str]
    password_hash: str = field(repr=False)
    password_changed_at: int = 0
    disabled: bool = False
    tokens_valid_after: int = 0
    roles_of_claims: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """The identity a request runs as; requests with one credential share it.

    ``auth`` is ``oidc`` for a token of the company's provider, ``session`` for a cookie that stands
    for one. ``scopes`` narrows an API key to some actions, ``None`` narrows nothing.
    ``expires_at`` is in Unix seconds, ``None`` for a key that never expires.
    ``credential_id`` is the token's ``jti`` or the key's id: safe to log, useless to replay.
    ``name`` is what a person of the company is shown as; it decides nothing.
    """

    subject: str
    tenant: str
    roles: frozenset[str]
    auth: AuthMethod
    credential_id: str
    scopes: frozenset[str] | None = None
    expires_at: int | None = None
    name: str | None = None
