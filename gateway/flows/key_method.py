"""API keys: found by their id, proved by their secret, worth what their owner may do now.

A key's look-up is cached for some seconds (``key_lookups``); its owner's account is looked up each
time (``key_owners``).
"""

from __future__ import annotations

from gateway.domain.api_keys import earliest, is_over
from gateway.domain.hit_count import HitCount
from gateway.domain.identity import Principal
from gateway.domain.key_checksums import KeyChecksums
from gateway.errors import Named, TokenExpired, Unauthenticated
from gateway.flows.authentication_method import Known, RetainedCredential
from gateway.flows.credentials import Credential
from gateway.flows.key_lookups import KeyLookups
from gateway.flows.key_matching import KeyMatch, KeyMatching, match_of, unknown_key
from gateway.flows.key_owners import KeyOwners
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.unknown_keys import UnknownKeys
from gateway.ports import Clock, Deadline, KeyStore


class KeyMethod:
    """Implements ``AuthenticationMethod`` for API keys.

    Args:
        ttl_s: how long a key's look-up is good for, counted from when it was sent.
        max_entries: how many found keys are cached, and how many ids that no key has.
        checksums: tell made-up keys; ``use_checksums`` changes them later.
        unknown: limits the look-ups for keys that nobody has seen; without it none is.
    """

    def __init__(
        self,
        store: KeyStore,
        owners: KeyOwners,
        revoked: KnownRevocations,
        clock: Clock,
        *,
        ttl_s: float,
        max_entries: int,
        checksums: KeyChecksums | None = None,
        unknown: UnknownKeys | None = None,
    ) -> None:
        self._owners = owners
        self._revoked = revoked
        self._clock = clock
        self._ttl_s = ttl_s
        self._lookups = KeyLookups(
            store, clock, ttl_s=ttl_s, max_entries=max_entries, owner_of=owners.look_up
        )
        revoked.on_key_change(self._lookups.forget)
        self._matching = KeyMatching(self._lookups, clock, checksums, unknown)

    @property
    def count(self) -> HitCount:
        return self._lookups.count

    def use_checksums(self, checksums: KeyChecksums) -> None:
        self._matching.checksums = checksums

    async def authenticate(
        self, credential: Credential, deadline: Deadline, address: str | None
    ) -> Principal | None:
        """Raises ``RateLimited`` and ``StorageUnavailable``, too."""
        if credential.kind != "api_key":
            return None
        return await self._looked_up(credential.text, deadline, address=address)

    def retain(self, credential: Credential) -> RetainedCredential | None:
        return credential if credential.kind == "api_key" else None

    def known(self, retained: RetainedCredential, *, within_s: float) -> Known | None:
        """A cached look-up must be young enough that a revocation is noticed within the time to
        live all the same."""
        assert isinstance(retained, Credential)
        presented = self._matching.presented(retained.text)
        self._revoked.catch_up()
        kept = self._lookups.kept(presented.key_id, sent_after=self._sent_after(within_s))
        if kept is None:
            return None
        match = match_of(kept, presented)
        if match is not None:
            return retained, self._principal(match)
        if kept.record is not None:
            return None  # it may be older than a rotation, as in ``key_matching``
        raise unknown_key(presented)

    async def again(
        self, retained: RetainedCredential, deadline: Deadline, *, within_s: float
    ) -> Known:
        """Raises ``StorageUnavailable``, too. A key that was let in before has no limit."""
        known = self.known(retained, within_s=within_s)
        if known is not None:
            return known
        assert isinstance(retained, Credential)
        sent_after = self._sent_after(within_s)
        return retained, await self._looked_up(retained.text, deadline, sent_after)

    def is_unchanged(self, retained: RetainedCredential) -> bool:
        """Never certain: the record may have been changed at another replica."""
        return False

    def _sent_after(self, within_s: float) -> float:
        """When the look-up of a key must have been sent that is good until the next check."""
        return self._clock.monotonic() - max(self._ttl_s - within_s, 0.0)

    async def _looked_up(
        self,
        text: str,
        deadline: Deadline,
        sent_after: float = float("-inf"),
        address: str | None = None,
    ) -> Principal:
        presented = self._matching.presented(text)
        self._revoked.catch_up()
        found = await self._matching.find(presented, deadline, sent_after, address)
        return self._principal(found)

    def _principal(self, found: KeyMatch) -> Principal:
        """Whom a key stands for at this moment, by its record and the secret that was presented."""
        record = found.record
        ends = earliest(record.expires_at, found.secret.expires_at)
        named = Named(record.owner, record.key_id)
        if record.revoked_at is not None:
            raise Unauthenticated(reason="key_revoked", named=named)
        if is_over(ends, self._clock.time()):
            raise TokenExpired("The API key has expired.", reason="key_expired", named=named)
        return Principal(
            subject=record.owner,
            tenant=record.tenant,
            roles=self._owners.roles(record, found.owner),
            auth="api_key",
            credential_id=record.key_id,
            scopes=record.scopes,
            expires_at=ends,
        )
