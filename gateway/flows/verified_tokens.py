"""Verified tokens, kept so that one that was seen before costs no second verification.

All authentication methods that verify tokens share one cache and its bound: a token belongs to the
method that verified it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from gateway.domain.hit_count import HitCount
from gateway.domain.identity import AuthMethod, Principal, User
from gateway.domain.tokens import TOKEN_LIMIT_BYTES, Claims, TokenSettings
from gateway.errors import Named, TokenExpired, Unauthenticated
from gateway.ports import Users

if TYPE_CHECKING:
    # Loaded only where the company's sign-in is on.
    from gateway.domain.company_tokens import CompanyRules


class VerifiedToken(NamedTuple):
    """What is kept of a verified token: enough to check it again without its text.

    Attributes:
        user: the account at that time; a ``User`` is never changed in place.
        settings: what the token was verified under.
        ends_at: in Unix seconds.
        mark: what stands for the token's id where ended tokens are listed.
    """

    principal: Principal
    user: User
    claims: Claims
    settings: TokenSettings | CompanyRules
    ends_at: float
    mark: str

    @property
    def kind(self) -> AuthMethod:
        """The authentication method that verified it."""
        return self.principal.auth


class VerifiedTokens:
    """The cache; the least recently used token makes room. A reload of the users empties it."""

    def __init__(self, users: Users, *, max_entries: int) -> None:
        self._users = users
        self._users_revision = users.revision
        self._max_entries = max_entries
        self._kept: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self.count = HitCount()

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        self._kept.clear()

    def get(self, text: str, now: float) -> tuple[bytes, VerifiedToken | None]:
        """The token's digest, to ``put`` it under, and what is kept of it.

        Raises:
            TokenExpired: it was verified once, and its time is over.
            Unauthenticated: it is longer than any token of ours.
        """
        if len(text) > TOKEN_LIMIT_BYTES:
            raise Unauthenticated(reason="too_long")
        if self._users.revision != self._users_revision:
            self._kept.clear()
            self._users_revision = self._users.revision
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        kept = self._kept.get(digest)
        if kept is None:
            self.count.misses += 1
        elif now >= kept.ends_at:
            del self._kept[digest]
            raise TokenExpired(reason="expired", named=named_by(kept.claims))
        else:
            self.count.hits += 1
            self._kept.move_to_end(digest)
        return digest, kept

    def put(self, digest: bytes, token: VerifiedToken) -> VerifiedToken:
        self._kept[digest] = token
        while len(self._kept) > self._max_entries:
            self._kept.popitem(last=False)
        return token


def named_by(claims: Claims) -> Named:
    """Whom a token names whose signature was right."""
    return Named(claims.subject, claims.token_id)
