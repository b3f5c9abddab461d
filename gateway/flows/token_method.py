"""The gateway's own tokens, as a login gives them out.

The verification is what costs, and is kept (``verified_tokens``). What may change is not: the user
behind the token is looked up every time, and so is whether the token was ended.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.identity import Principal
from gateway.domain.revocations import token_mark
from gateway.domain.tokens import Claims, TokenSettings, is_under, stands_for, verify
from gateway.errors import TokenExpired, Unauthenticated
from gateway.flows.authentication_method import Known, RetainedCredential
from gateway.flows.credentials import Credential
from gateway.flows.enabled_accounts import EnabledAccounts
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.verified_tokens import VerifiedToken, VerifiedTokens, named_by
from gateway.ports import Clock, Deadline


class TokenMethod:
    """Implements ``AuthenticationMethod`` for every token that no other method knows."""

    def __init__(
        self,
        tokens: TokenSettings,
        accounts: EnabledAccounts,
        revoked: KnownRevocations,
        clock: Clock,
        cache: VerifiedTokens,
    ) -> None:
        self._tokens = tokens
        self._accounts = accounts
        self._revoked = revoked
        self._clock = clock
        self._cache = cache

    def use_tokens(self, tokens: TokenSettings) -> None:
        """Verifies with other secrets from now on, and forgets what the old ones verified."""
        self._tokens = tokens
        self._cache.clear()

    async def authenticate(
        self, credential: Credential, deadline: Deadline, address: str | None
    ) -> Principal | None:
        return None if credential.kind != "jwt" else self._verified(credential.text).principal

    def retain(self, credential: Credential) -> RetainedCredential | None:
        return None if credential.kind != "jwt" else self._verified(credential.text)

    def known(self, retained: RetainedCredential, *, within_s: float) -> Known:
        """Always known."""
        assert isinstance(retained, VerifiedToken)
        renewed = self._checked_again(retained)
        return renewed, renewed.principal

    async def again(
        self, retained: RetainedCredential, deadline: Deadline, *, within_s: float
    ) -> Known:
        return self.known(retained, within_s=within_s)

    def is_unchanged(self, retained: RetainedCredential) -> bool:
        return (
            isinstance(retained, VerifiedToken)
            and retained.settings is self._tokens
            and self._accounts.is_current(retained.user)
            and self._clock.time() < retained.ends_at
            and not self._revoked.ends_token(retained.mark, retained.claims)
            and self._revoked.outdates(retained.user) is None
        )

    def _verified(self, text: str) -> VerifiedToken:
        """Verified now or cached; a cached one is checked against time and user again."""
        now = self._clock.time()
        digest, kept = self._cache.get(text, now)
        if kept is None:
            kept = self._cache.put(digest, self._accepted(verify(text, now, self._tokens)))
        elif not self._accounts.is_current(kept.user):
            kept = self._cache.put(digest, self._accepted(kept.claims))
        self._refuse_ended(kept)
        return kept

    def _checked_again(self, kept: VerifiedToken) -> VerifiedToken:
        """The token checked again under the present settings."""
        assert isinstance(kept.settings, TokenSettings)
        if not is_under(kept.claims, kept.settings, self._tokens):
            raise Unauthenticated(reason="signature")
        ends_at = min(kept.ends_at, kept.claims.issued_at + self._tokens.lifetime_s)
        if self._clock.time() >= ends_at:
            raise TokenExpired(reason="expired")
        renewed = self._accepted(replace(kept.claims, expires_at=int(ends_at)))
        self._refuse_ended(renewed)
        return renewed

    def _refuse_ended(self, kept: VerifiedToken) -> None:
        """Two looks into dictionaries; whoever ended the token, and in which worker."""
        if self._revoked.ends_token(kept.mark, kept.claims):
            raise Unauthenticated(reason="token_revoked", named=named_by(kept.claims))
        change = self._revoked.outdates(kept.user)
        if change is not None and change.closed:
            raise Unauthenticated(reason="user_disabled", named=named_by(kept.claims))
        if change is not None:
            raise Unauthenticated(reason="superseded", named=named_by(kept.claims))

    def _accepted(self, claims: Claims) -> VerifiedToken:
        """The claims of a verified token, checked against the user's present account."""
        user = self._accounts.get(claims.subject, claims.token_id)
        if not stands_for(claims, user, self._tokens):
            raise Unauthenticated(reason="superseded", named=named_by(claims))
        if claims.roles == user.roles:
            # One set for all of a user's tokens; thousands of them are kept.
            claims = replace(claims, roles=user.roles, tenant=user.tenant, subject=user.subject)
        principal = Principal(
            subject=claims.subject,
            tenant=claims.tenant,
            roles=claims.roles if claims.roles is user.roles else claims.roles & user.roles,
            auth="jwt",
            credential_id=claims.token_id,
            expires_at=claims.expires_at,
        )
        mark = token_mark(claims.token_id)
        return VerifiedToken(principal, user, claims, self._tokens, claims.expires_at, mark)
