"""People of the company's provider, as the gateway names them.

Their subject is ``oidc-`` and a digest of who vouches for them and what he calls them: so it is a
name as all others, the same at every replica, and two people never share one. No local account may
have a name that begins so. What a person is called by others is kept beside it and decides nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from gateway.domain.identity import User

NAMESPACE: Final = "oidc-"
# OpenID Connect Core 1.0, section 2.
SUB_LIMIT_CHARS: Final = 255
# What becomes of a token of the company that was not seen before.
Outcome = Literal["ok", "no_role", "refused", "unavailable"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "no_role", "refused", "unavailable")
_DIGEST_BYTES: Final = 20
_SUBJECT = re.compile(rf"{NAMESPACE}[a-z2-7]{{32}}\Z")


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """Who somebody was at the last sign-in that the gateway saw; what his API keys go by.

    ``roles`` are those of the token. ``signed_in_at`` is when the token was issued, Unix seconds.
    """

    subject: str
    tenant: str
    roles: frozenset[str]
    signed_in_at: int
    name: str | None = None


def company_subject(issuer: str, sub: str) -> str:
    """The gateway's name for whom ``issuer`` calls ``sub``: 160 bits of SHA-256, in base32."""
    both = f"{len(issuer)}\n{issuer}\n{sub}".encode()
    digest = hashlib.sha256(both).digest()[:_DIGEST_BYTES]
    return NAMESPACE + base64.b32encode(digest).decode("ascii").lower()


def is_company_name(text: str) -> bool:
    """Whether ``text`` lies in the namespace that no local account may enter."""
    return text.startswith(NAMESPACE)


def is_company_subject(text: str) -> bool:
    """Whether ``text`` is spelled as ``company_subject`` spells one."""
    return _SUBJECT.match(text) is not None


@lru_cache(maxsize=16_384)
def unlisted(subject: str) -> User:
    """The account of somebody of whom the users file says nothing: nothing is changed for him."""
    return User(subject, "", frozenset(), "", roles_of_claims=True)
