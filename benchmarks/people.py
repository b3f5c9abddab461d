"""The users of a run, one for each stream: an accounts file and a token for each."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.argon2_passwords import hash_password
from gateway.adapters.users_file import editing
from gateway.domain.identity import User
from gateway.domain.tokens import TokenSettings, issue
from gateway.settings import SPECS

TENANTS = 50


@dataclass(frozen=True, slots=True)
class People:
    """``users_file`` is for the gateway, ``tokens_file`` (one a line) for the load generator."""

    count: int
    jwt_secret: str
    users_file: Path
    tokens_file: Path


def make_people(folder: Path, count: int) -> People:
    """``count`` users in ``TENANTS`` tenants, each with its own token.

    All have the same password hash, as making one takes 19 MiB and nearly 0.1 s.
    """
    made = People(
        count=count,
        jwt_secret=secrets.token_urlsafe(48),
        users_file=folder / "users.json",
        tokens_file=folder / "tokens.txt",
    )
    hashed = hash_password(secrets.token_urlsafe(12))
    users = [
        User(f"user-{n}", f"tenant-{n % TENANTS}", frozenset({"editor"}), hashed)
        for n in range(count)
    ]
    with editing(str(made.users_file)) as accounts:
        accounts.update({user.subject: user for user in users})
    settings = _token_settings(made.jwt_secret.encode())
    now = time.time()
    tokens = [issue(user, now, settings).access_token for user in users]
    made.tokens_file.write_text("\n".join(tokens), "utf-8")
    return made


def _token_settings(secret: bytes) -> TokenSettings:
    """For a gateway whose settings for tokens are the defaults, but for the secret."""
    return TokenSettings(
        secrets=(secret,),
        issuer=SPECS["jwt_issuer"].default or "",
        audience=SPECS["jwt_audience"].default or "",
        lifetime_s=24 * 3600,
        skew_s=30,
    )
