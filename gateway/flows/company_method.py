"""Tokens of the company's OpenID Connect provider, beside the gateway's own.

Verified with the provider's public keys (``provider_keys``) and then kept as any token is, so that
one that was seen before costs what ours does: it is checked against the time, the keys, the users
file and what was revoked, all of them in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from gateway.domain.company import Outcome, SeenPerson
from gateway.domain.company_tokens import (
    CompanyClaims,
    CompanyRules,
    is_company_token,
    read_header,
    verify,
)
from gateway.domain.identity import AuthMethod, Principal
from gateway.domain.public_keys import PublicKey
from gateway.domain.revocations import token_mark
from gateway.errors import GatewayError, SignInUnavailable, TokenExpired, Unauthenticated
from gateway.flows.authentication_method import Known, RetainedCredential
from gateway.flows.credentials import Credential
from gateway.flows.enabled_accounts import EnabledAccounts
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.provider_keys import ProviderKeys
from gateway.flows.verified_tokens import VerifiedToken, VerifiedTokens, named_by
from gateway.ports import Clock, Deadline

log = structlog.get_logger("gateway.sign_in")


class CompanyMethod:
    """Implements ``AuthenticationMethod`` for tokens that only a public key can verify.

    Args:
        signed_in: called with each person whose token this worker had not seen before.

    Attributes:
        outcomes: how many such tokens there were, by what became of them.
    """

    def __init__(
        self,
        rules: CompanyRules,
        keys: ProviderKeys,
        accounts: EnabledAccounts,
        revoked: KnownRevocations,
        clock: Clock,
        cache: VerifiedTokens,
        signed_in: Callable[[SeenPerson], None],
    ) -> None:
        self.rules = rules
        self._keys = keys
        self._accounts = accounts
        self._revoked = revoked
        self._clock = clock
        self._cache = cache
        self._signed_in = signed_in
        self.outcomes: Counter[Outcome] = Counter()

    def use_rules(self, rules: CompanyRules) -> None:
        """Believes other tokens from now on. Where they changed, what runs by the old ones ends."""
        if rules != self.rules:
            self.rules = rules
            self._cache.clear()

    async def authenticate(
        self, credential: Credential, deadline: Deadline, address: str | None
    ) -> Principal | None:
        """Raises ``SignInUnavailable``, too."""
        if credential.kind != "jwt" or not is_company_token(credential.text):
            return None
        return (await self._verified(credential.text, deadline)).principal

    def retain(self, credential: Credential) -> RetainedCredential | None:
        if credential.kind != "jwt" or not is_company_token(credential.text):
            return None
        kept = self._kept(credential.text)
        if isinstance(kept, VerifiedToken):
            return kept
        # It was accepted just now and made room for others since.
        key = self._keys.known(read_header(credential.text))
        if key is None:
            raise Unauthenticated(reason="signing_key")
        claims, _ = verify(credential.text, key, self._clock.time(), self.rules)
        return self._put(kept, claims)

    def known(self, retained: RetainedCredential, *, within_s: float) -> Known:
        """Always known."""
        assert isinstance(retained, VerifiedToken)
        claims = claims_of(retained)
        if retained.settings is not self.rules or not self._keys.holds(claims.key):
            raise Unauthenticated(reason="signature", named=named_by(claims))
        if self._clock.time() >= retained.ends_at:
            raise TokenExpired(reason="expired", named=named_by(claims))
        renewed = self._accepted(claims)
        self._refuse_ended(renewed)
        return renewed, renewed.principal

    async def again(
        self, retained: RetainedCredential, deadline: Deadline, *, within_s: float
    ) -> Known:
        return self.known(retained, within_s=within_s)

    def is_unchanged(self, retained: RetainedCredential) -> bool:
        return (
            isinstance(retained, VerifiedToken)
            and retained.settings is self.rules
            and self._keys.holds(claims_of(retained).key)
            and self._accounts.is_current(retained.user)
            and self._clock.time() < retained.ends_at
            and not self._revoked.ends_token(retained.mark, retained.claims)
            and self._revoked.outdates(retained.user) is None
        )

    async def identify(
        self, text: str, deadline: Deadline, *, audience: str
    ) -> tuple[CompanyClaims, Mapping[str, Any]]:
        """Whom a token for one of the provider's clients is about, and all it says: an ID token.

        Raises:
            As ``authenticate``.
        """
        return await self._judged(text, deadline, audience)

    def admit(self, claims: CompanyClaims, auth: AuthMethod) -> VerifiedToken:
        """Whom claims stand for now that were verified once and kept by somebody else.

        Raises:
            Unauthenticated: he is let in no more, the token was ended, or its key withdrawn.
        """
        if self._keys.withdrew(claims.key):
            raise Unauthenticated(reason="signature", named=named_by(claims))
        accepted = self._accepted(claims, auth)
        self._refuse_ended(accepted)
        return accepted

    def admit_again(self, kept: VerifiedToken) -> VerifiedToken:
        """``admit`` of what it gave before: the same, unless the account has changed."""
        if kept.settings is not self.rules or not self._accounts.is_current(kept.user):
            return self.admit(claims_of(kept), kept.kind)
        if self._keys.withdrew(claims_of(kept).key):
            raise Unauthenticated(reason="signature", named=named_by(kept.claims))
        self._refuse_ended(kept)
        return kept

    async def _verified(self, text: str, deadline: Deadline) -> VerifiedToken:
        kept = self._kept(text)
        if isinstance(kept, VerifiedToken):
            return kept
        try:
            claims, _ = await self._judged(text, deadline)
            accepted = self._put(kept, claims)
        except GatewayError as refusal:
            away = isinstance(refusal, SignInUnavailable)
            self.outcomes["unavailable" if away else "refused"] += 1
            raise
        self.outcomes["ok" if accepted.principal.roles else "no_role"] += 1
        self.note_sign_in(accepted)
        return accepted

    async def _judged(
        self, text: str, deadline: Deadline, audience: str | None = None
    ) -> tuple[CompanyClaims, Mapping[str, Any]]:
        key: PublicKey = await self._keys.find(read_header(text), deadline)
        # The rules of now: they may have changed while the provider was asked.
        rules = self.rules
        if audience is not None:
            rules = replace(rules, audience=audience, clients=frozenset({audience}))
        return verify(text, key, self._clock.time(), rules)

    def _kept(self, text: str) -> VerifiedToken | bytes:
        """What is kept of a token, checked again; or its digest, to keep it under."""
        digest, kept = self._cache.get(text, self._clock.time())
        if kept is None or not self._keys.holds(claims_of(kept).key):
            return digest
        if not self._accounts.is_current(kept.user):
            kept = self._cache.put(digest, self._accepted(claims_of(kept)))
        self._refuse_ended(kept)
        return kept

    def _put(self, digest: bytes, claims: CompanyClaims) -> VerifiedToken:
        accepted = self._accepted(claims)
        self._refuse_ended(accepted)
        return self._cache.put(digest, accepted)

    def note_sign_in(self, token: VerifiedToken) -> None:
        """Remembers who signed in, and writes the one line that tells who is behind a subject."""
        principal, claims = token.principal, claims_of(token)
        log.info(
            "company sign-in",
            principal=principal.subject,
            name=principal.name,
            tenant=principal.tenant,
            roles=sorted(principal.roles),
            credential_id=principal.credential_id,
        )
        self._signed_in(
            SeenPerson(
                claims.subject, claims.tenant, claims.roles, claims.issued_at, name=claims.name
            )
        )

    def _accepted(self, claims: CompanyClaims, auth: AuthMethod = "oidc") -> VerifiedToken:
        """The claims of a verified token, and what the users file changes of them."""
        user = self._accounts.get(claims.subject, claims.token_id)
        if claims.issued_at < user.tokens_valid_after:
            raise Unauthenticated(reason="superseded", named=named_by(claims))
        principal = Principal(
            subject=claims.subject,
            tenant=claims.tenant,
            roles=claims.roles if user.roles_of_claims else user.roles,
            auth=auth,
            credential_id=claims.token_id,
            expires_at=claims.expires_at,
            name=claims.name,
        )
        # Kept apart from ours, whose ids another issuer could repeat.
        mark = token_mark(f"{self.rules.issuer}\n{claims.token_id}")
        return VerifiedToken(principal, user, claims, self.rules, claims.expires_at, mark)

    def _refuse_ended(self, kept: VerifiedToken) -> None:
        """Whoever ended the token or closed the account, and in which worker."""
        if self._revoked.ends_token(kept.mark, kept.claims):
            raise Unauthenticated(reason="token_revoked", named=named_by(kept.claims))
        change = self._revoked.outdates(kept.user)
        if change is not None and change.closed:
            raise Unauthenticated(reason="user_disabled", named=named_by(kept.claims))
        if change is not None:
            raise Unauthenticated(reason="superseded", named=named_by(kept.claims))


def claims_of(token: VerifiedToken) -> CompanyClaims:
    assert isinstance(token.claims, CompanyClaims)
    return token.claims
