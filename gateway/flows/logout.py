"""Logging out: a token ends before it expires, or all tokens of its account do."""

from __future__ import annotations

from gateway.domain.revocations import EndedToken, EndedTokens, Revocation, generation_of
from gateway.domain.tokens import SKEW_LIMIT_S
from gateway.errors import Conflict, Forbidden, Overloaded
from gateway.flows.authenticate import Authenticator
from gateway.flows.credentials import Credential
from gateway.flows.revocations import Revocations
from gateway.flows.verified_tokens import VerifiedToken
from gateway.ports import Clock, Deadline


class Logout:
    def __init__(
        self, authenticator: Authenticator, revocations: Revocations, clock: Clock
    ) -> None:
        self._authenticator = authenticator
        self._revocations = revocations
        self._clock = clock

    async def log_out(
        self, credential: Credential, deadline: Deadline, *, all_tokens: bool
    ) -> None:
        """Ends the token, or all that its account has; in force when it returns.

        Raises:
            Unauthenticated: the token was ended meanwhile.
            Forbidden: the credential is an API key.
            Conflict: the account has ended too many tokens that have not expired.
            Overloaded: all accounts together have.
            StorageUnavailable, SharedStateUnavailable: it may be ended in part; try again.
        """
        token = self._authenticator.retain(credential)
        if not isinstance(token, VerifiedToken):
            # The policy says so too. A key is revoked, by whoever may.
            raise Forbidden("An API key has no session: revoke it.")
        ended = self._all_of(token) if all_tokens else self._one(token)
        await self._revocations.end(ended, deadline)

    def _one(self, token: VerifiedToken) -> Revocation:
        claims = token.claims
        match self._revocations.known.ledger.room_for(claims.subject):
            case "account_full":
                raise Conflict("You have ended too many tokens one by one: end all with ?all=true.")
            case "full":
                raise Overloaded("Too many tokens were ended one by one: end all with ?all=true.")
        return EndedToken(token.mark, claims.subject, generation_of(claims), claims.expires_at)

    def _all_of(self, token: VerifiedToken) -> Revocation:
        """Of a later generation than any that is known, however far this clock is behind."""
        subject, now = token.claims.subject, self._clock.time()
        generation = max(int(now * 1000), self._revocations.known.generation(subject) + 1)
        expires_at = int(now) + token.settings.lifetime_s + SKEW_LIMIT_S
        return EndedTokens(subject, generation, expires_at)
