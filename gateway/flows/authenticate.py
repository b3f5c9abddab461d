"""Who is asking? A credential becomes a principal, afresh for every request.

``credentials`` finds the one credential among the raw headers, without I/O; ``Authenticator`` asks
each authentication method whether it is its own (``authentication_method``), and that one judges.
What was accepted once is checked again by the method that accepted it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.hit_count import HitCount
from gateway.domain.identity import AuthMethod, Principal, User
from gateway.domain.key_checksums import KeyChecksums
from gateway.domain.tokens import TokenSettings
from gateway.errors import Unauthenticated
from gateway.flows.authentication_method import AuthenticationMethod, Known, RetainedCredential
from gateway.flows.credentials import Credential
from gateway.flows.enabled_accounts import EnabledAccounts
from gateway.flows.key_method import KeyMethod
from gateway.flows.key_owners import CompanyOwners, KeyOwners
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.token_method import TokenMethod
from gateway.flows.unknown_keys import UnknownKeys
from gateway.flows.verified_tokens import VerifiedTokens
from gateway.ports import Clock, Deadline, KeyStore, Users


class Authenticator:
    """Turns a credential into a principal.

    Args:
        tokens: see ``use_tokens`` for changing them later.
        key_ttl_s: how long an API key's look-up is good for, counted from when it was sent.
        max_keys: how many found keys are cached, and how many ids that no key has.
        max_tokens: how many verified tokens are cached; the least recently used one makes room.
        checksums: tell made-up keys; ``use_checksums`` changes them later.
        unknown: limits the look-ups for keys that nobody has seen; without it none is.
        company: what keys of people of the company go by; without it they have none.

    Attributes:
        accounts: the accounts behind credentials.
        verified: the verified tokens of all methods.
    """

    def __init__(
        self,
        users: Users,
        tokens: TokenSettings,
        keys: KeyStore,
        clock: Clock,
        revoked: KnownRevocations,
        *,
        key_ttl_s: float,
        max_keys: int,
        max_tokens: int,
        checksums: KeyChecksums | None = None,
        unknown: UnknownKeys | None = None,
        company: CompanyOwners | None = None,
    ) -> None:
        self.accounts = EnabledAccounts(users, revoked, company=company is not None)
        self.verified = VerifiedTokens(users, max_entries=max_tokens)
        self._tokens = TokenMethod(tokens, self.accounts, revoked, clock, self.verified)
        self._keys = KeyMethod(
            keys,
            KeyOwners(self.accounts, clock, company),
            revoked,
            clock,
            ttl_s=key_ttl_s,
            max_entries=max_keys,
            checksums=checksums,
            unknown=unknown,
        )
        # Asked in this order. Any token that is nobody else's is judged by ``_tokens``.
        self._in_turn: Sequence[AuthenticationMethod] = (self._tokens, self._keys)
        self._by_kind: dict[AuthMethod, AuthenticationMethod] = {
            "jwt": self._tokens,
            "api_key": self._keys,
        }

    @property
    def token_count(self) -> HitCount:
        return self.verified.count

    @property
    def key_count(self) -> HitCount:
        return self._keys.count

    def add(self, kind: AuthMethod, method: AuthenticationMethod) -> None:
        """Asks ``method`` before all others; ``kind`` is that of what it retains."""
        self._in_turn = (method, *self._in_turn)
        self._by_kind[kind] = method

    def use_tokens(self, tokens: TokenSettings) -> None:
        """Verifies with other secrets from now on, and forgets what the old ones verified."""
        self._tokens.use_tokens(tokens)

    def use_checksums(self, checksums: KeyChecksums) -> None:
        self._keys.use_checksums(checksums)

    async def authenticate(
        self, credential: Credential, deadline: Deadline, address: str | None = None
    ) -> Principal:
        """The principal of ``credential`` at this moment; ``address`` is the client's.

        Raises:
            RateLimited: there are too many look-ups for unknown keys.
            Unauthenticated: it is not valid; ``reason`` says why, for the log.
            TokenExpired: it was valid once.
            StorageUnavailable: an API key cannot be looked up now.
            SignInUnavailable: a token of the company cannot be judged now.
        """
        for method in self._in_turn:
            principal = await method.authenticate(credential, deadline, address)
            if principal is not None:
                return principal
        raise Unauthenticated(reason="malformed")

    def retain(self, credential: Credential) -> RetainedCredential:
        """What to keep of a credential that was accepted just now, to check it again later."""
        for method in self._in_turn:
            retained = method.retain(credential)
            if retained is not None:
                return retained
        raise Unauthenticated(reason="malformed")

    async def again(
        self, retained: RetainedCredential, deadline: Deadline, *, within_s: float
    ) -> Known:
        """``authenticate`` for a retained credential; also returns what to keep from now on.

        Args:
            within_s: seconds until the next check.

        Raises:
            As ``authenticate``.
        """
        return await self._by_kind[retained.kind].again(retained, deadline, within_s=within_s)

    def known(self, retained: RetainedCredential, *, within_s: float) -> Known | None:
        """What ``again`` would return without waiting; ``None``: somebody has to be asked.

        Always known of a token. Raises as ``authenticate``, but for ``StorageUnavailable``.
        """
        return self._by_kind[retained.kind].known(retained, within_s=within_s)

    def is_unchanged(self, retained: RetainedCredential) -> bool:
        """Whether a check would give the same result: known of tokens, without doing it."""
        return self._by_kind[retained.kind].is_unchanged(retained)

    def account(self, subject: str, tenant: str, credential_id: str) -> User:
        """The account behind a credential, where nothing else of it can be checked now.

        Raises:
            Unauthenticated: it was removed, disabled or moved to another tenant.
        """
        return self.accounts.in_tenant(subject, tenant, credential_id)
