"""Sessions of browsers that signed in at the company's provider.

A session stands for the ID token that it was made of: it has its id, its holder and its times, and
is judged by the same rules as the provider's tokens (``company_method``). It needs no answer of the
provider: who is signed in stays so while that is away, at a worker that has just started, too.

Opening a cookie is what costs, and is kept with the verified tokens; time, account and revocations
are looked at each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.domain.company_tokens import CompanyClaims
from gateway.domain.identity import Principal
from gateway.domain.public_keys import PublicKey
from gateway.domain.sessions import SESSION, Session, decoded, encoded
from gateway.errors import TokenExpired, Unauthenticated
from gateway.flows.authentication_method import Known, RetainedCredential
from gateway.flows.company_method import CompanyMethod
from gateway.flows.credentials import Credential
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.verified_tokens import VerifiedToken, VerifiedTokens, named_by
from gateway.ports import Clock, Deadline, Seals


class SessionMethod:
    """Implements ``AuthenticationMethod`` for session cookies.

    Args:
        client_id: what the gateway is called at the provider, whose ID tokens are for it alone.
    """

    def __init__(
        self,
        company: CompanyMethod,
        seals: Seals,
        revoked: KnownRevocations,
        clock: Clock,
        cache: VerifiedTokens,
        *,
        client_id: str,
    ) -> None:
        self._company = company
        self._seals = seals
        self._revoked = revoked
        self._clock = clock
        self._cache = cache
        self._client_id = client_id

    # --- made -----------------------------------------------------------------------------------

    async def identify(
        self, id_token: str, deadline: Deadline
    ) -> tuple[CompanyClaims, Mapping[str, Any]]:
        """Whom an ID token for the gateway is about, and all it says.

        Raises:
            Unauthenticated: it is not believed.
            SignInUnavailable: the provider's keys are not known.
        """
        return await self._company.identify(id_token, deadline, audience=self._client_id)

    def begin(self, claims: CompanyClaims) -> tuple[Principal, str]:
        """Lets in who was identified: whom the session stands for, and its sealed text.

        Raises:
            Unauthenticated: the person is not let in.
            Forbidden: no cookie can hold the session.
        """
        # Of one at least: then this number is compared with that of ``EndedTokens``, and not the
        # provider's clock.
        generation = max(self._revoked.generation(claims.subject), 1)
        claims = replace(claims, generation=generation)
        admitted = self._company.admit(claims, "session")
        sealed = self._sealed(claims)
        self._company.note_sign_in(admitted)
        return admitted.principal, sealed

    def _sealed(self, claims: CompanyClaims) -> str:
        session = Session(
            subject=claims.subject,
            tenant=claims.tenant,
            roles=tuple(sorted(claims.roles)),
            name=claims.name,
            issued_at=claims.issued_at,
            expires_at=claims.expires_at,
            token_id=claims.token_id,
            generation=claims.generation,
            key=claims.key.thumbprint if claims.key else "",
        )
        return self._seals.seal(SESSION, encoded(session))

    # --- AuthenticationMethod -------------------------------------------------------------------

    async def authenticate(
        self, credential: Credential, deadline: Deadline, address: str | None
    ) -> Principal | None:
        return None if credential.kind != "session" else self._admitted(credential.text).principal

    def retain(self, credential: Credential) -> RetainedCredential | None:
        return None if credential.kind != "session" else self._admitted(credential.text)

    def known(self, retained: RetainedCredential, *, within_s: float) -> Known:
        """Always known. After another reading of claims it is void, as its cookie is."""
        assert isinstance(retained, VerifiedToken)
        if retained.settings is not self._company.rules or not self._is_held(retained):
            raise Unauthenticated(reason="session", named=named_by(retained.claims))
        if self._clock.time() >= retained.ends_at:
            raise TokenExpired(reason="expired", named=named_by(retained.claims))
        renewed = self._company.admit_again(retained)
        return renewed, renewed.principal

    async def again(
        self, retained: RetainedCredential, deadline: Deadline, *, within_s: float
    ) -> Known:
        return self.known(retained, within_s=within_s)

    def is_unchanged(self, retained: RetainedCredential) -> bool:
        return self._company.is_unchanged(retained) and self._is_held(retained)

    def _is_held(self, retained: RetainedCredential) -> bool:
        """Whether its cookie could still be opened: what a retired secret sealed ends with it."""
        assert isinstance(retained, VerifiedToken)
        return self._seals.holds(retained.claims.signed_with)

    def _admitted(self, text: str) -> VerifiedToken:
        """Opened now or kept; who it stands for is admitted afresh either way."""
        now = self._clock.time()
        # Apart from tokens, or a cookie's text would be taken for one once it is kept.
        digest, kept = self._cache.get(f"session\n{text}", now)
        if kept is None or not self._is_held(kept):
            admitted = self._company.admit(self._opened(text, now), "session")
        else:
            admitted = self._company.admit_again(kept)
        return admitted if admitted is kept else self._cache.put(digest, admitted)

    def _opened(self, text: str, now: float) -> CompanyClaims:
        opened = self._seals.opened(SESSION, text)
        session = None if opened is None else decoded(opened.content)
        if opened is None or session is None:
            raise Unauthenticated(reason="session")
        claims = _claims(session, opened.secret, self._company.rules.lifetime_s)
        if now >= claims.expires_at:
            raise TokenExpired(reason="expired", named=named_by(claims))
        return claims


def _claims(session: Session, secret: bytes, lifetime_s: int) -> CompanyClaims:
    """A lifetime that was shortened holds for sessions of before, too: what ended them is not
    remembered for longer."""
    return CompanyClaims(
        subject=session.subject,
        tenant=session.tenant,
        roles=frozenset(session.roles),
        issued_at=session.issued_at,
        expires_at=min(session.expires_at, session.issued_at + lifetime_s),
        token_id=session.token_id,
        signed_with=secret,
        generation=session.generation,
        key=PublicKey(None, "", session.key, None),
        name=session.name,
    )
