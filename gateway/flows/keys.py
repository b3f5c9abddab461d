"""API keys, as their owner handles them: create, list, rotate, revoke.

A key of somebody else is a key that does not exist. A revoked key stays listed, with the time, and
makes room when its owner has reached the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from gateway.domain.actions import PERSON_ONLY
from gateway.domain.api_keys import (
    KEYS_PER_OWNER_LIMIT,
    OVERLAP_LIMIT_S,
    SECRETS_LIMIT,
    KeyRecord,
    KeySecret,
    StoredKey,
    format_key,
    is_dead,
    is_key_id,
    new_key_id,
    new_secret,
    request_faults,
    rotated,
    secret_hash,
)
from gateway.domain.identity import Principal
from gateway.domain.key_checksums import KeyChecksums
from gateway.errors import (
    Conflict,
    Forbidden,
    NotFound,
    SharedStateUnavailable,
    ValidationFailed,
)
from gateway.flows.repeats import Attempt
from gateway.flows.revocations import Revocations
from gateway.ports import Clock, Deadline, KeyStore

# How often a revocation that meets another change reads again, so that the change is kept; then it
# overwrites: rotations in a loop must not keep a key alive.
_REVOKE_ATTEMPTS = 3


class Keys:
    """Args: ``actions`` is every action there is; keys can have all but those for persons only."""

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        revocations: Revocations,
        *,
        actions: frozenset[str],
        keys_per_owner: int = KEYS_PER_OWNER_LIMIT,
        checksums: KeyChecksums | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._revocations = revocations
        self._allowed_scopes = actions - PERSON_ONLY
        self._keys_per_owner = keys_per_owner
        self.checksums = checksums

    async def create(
        self,
        principal: Principal,
        name: str,
        scopes: Sequence[str],
        expires_in_s: int | None,
        deadline: Deadline,
        attempt: Attempt | None = None,
    ) -> tuple[KeyRecord, str]:
        """A new key and its text, which is not stored and cannot be shown again.

        With an ``attempt`` the key has its id, and where an earlier attempt made it, nothing is.

        Raises:
            ValidationFailed: name, scopes or lifetime, each named.
            Conflict: the owner has as many valid keys as the limit allows, or the key was made by
                an earlier attempt.
            Forbidden: the caller is a key itself.
            StorageUnavailable: the key may or may not be listed; its secret is lost either way.
        """
        _refuse_keys(principal)
        if faults := request_faults(name, scopes, expires_in_s, self._allowed_scopes):
            raise ValidationFailed(fields=faults)
        await self._refuse_made(attempt, deadline)
        await self._make_room(principal, deadline)
        now = int(self._clock.time())
        secret = new_secret()
        record = KeyRecord(
            key_id=new_key_id() if attempt is None else attempt.id,
            tenant=principal.tenant,
            owner=principal.subject,
            name=name,
            scopes=frozenset(scopes),
            secrets=(KeySecret(secret_hash(secret)),),
            created_at=now,
            expires_at=None if expires_in_s is None else now + expires_in_s,
        )
        if attempt is not None:
            attempt.begun = True
        try:
            await self._store.create(record, deadline)
        except Conflict as problem:
            raise problem if attempt is None else _made_before(attempt) from problem
        return record, format_key(record.key_id, secret, self.checksums)

    async def _refuse_made(self, attempt: Attempt | None, deadline: Deadline) -> None:
        if attempt is None or not attempt.again:
            return
        if attempt.made or await self._store.get(attempt.id, deadline) is not None:
            raise _made_before(attempt)

    async def list(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[KeyRecord]:
        """The owner's keys, newest first, revoked and expired ones too."""
        stored = await self._store.list(tenant, owner, deadline)
        records = (key.record for key in stored)
        return sorted(records, key=lambda record: (-record.created_at, record.key_id))

    async def revoke(self, tenant: str, owner: str, key_id: str, deadline: Deadline) -> None:
        """Ends a key, also one that is being rotated; one that was revoked before is no error.

        Returns when all workers know that can be reached, and raises where this replica's do not:
        the key is revoked then, and trying again tells them.

        Raises:
            NotFound: the owner has no such key.
        """
        await self._write_revoked(tenant, owner, key_id, deadline)
        await self._revocations.key_changed(key_id, deadline)

    async def _write_revoked(
        self, tenant: str, owner: str, key_id: str, deadline: Deadline
    ) -> None:
        for _ in range(_REVOKE_ATTEMPTS):
            stored = await self._owned(tenant, owner, key_id, deadline)
            if stored.record.revoked_at is not None:
                return
            record = replace(stored.record, revoked_at=int(self._clock.time()))
            with suppress(Conflict):
                await self._store.replace(record, stored.version, deadline)
                return
        # What is lost with the change it overwrites is of no use: the secret of a revoked key. The
        # rotation that comes next finds another version and fails.
        await self._store.overwrite(record, deadline)

    async def rotate(
        self, principal: Principal, key_id: str, overlap_s: int, deadline: Deadline
    ) -> tuple[KeyRecord, str]:
        """A new secret for the same key; the old one works on for ``overlap_s``.

        Raises:
            NotFound: the caller has no such key.
            Conflict: the key is revoked or expired, was changed at the same moment, or has too many
                secrets in overlap already.
            Forbidden, ValidationFailed: as ``create``.
        """
        _refuse_keys(principal)
        if not 0 <= overlap_s <= OVERLAP_LIMIT_S:
            raise ValidationFailed(fields={"overlap": f"must be 0 to {OVERLAP_LIMIT_S} seconds"})
        stored = await self._owned(principal.tenant, principal.subject, key_id, deadline)
        now = self._clock.time()
        if is_dead(stored.record, now):
            raise Conflict("The key is revoked or has expired: make a new one.")
        secret = new_secret()
        record = rotated(stored.record, secret, now, overlap_s)
        if len(record.secrets) > SECRETS_LIMIT:
            raise Conflict("The key was rotated too often: wait for an overlap to end, or end all.")
        await self._store.replace(record, stored.version, deadline)
        await self._told_of_rotation(key_id, deadline)
        return record, format_key(key_id, secret, self.checksums)

    async def _told_of_rotation(self, key_id: str, deadline: Deadline) -> None:
        """Whatever comes of it: the new secret is in force and has to be shown, this once. Who was
        not told looks the key up again within 5 s."""
        with suppress(SharedStateUnavailable):
            await self._revocations.key_changed(key_id, deadline)

    async def _owned(self, tenant: str, owner: str, key_id: str, deadline: Deadline) -> StoredKey:
        stored = await self._store.get(key_id, deadline) if is_key_id(key_id) else None
        if stored is None or (stored.record.tenant, stored.record.owner) != (tenant, owner):
            raise NotFound
        return stored

    async def _make_room(self, principal: Principal, deadline: Deadline) -> None:
        """Removes the oldest ended key at the limit, which two creations at once may exceed by one.

        That does no harm: the limit bounds the work of a listing and protects nothing.
        """
        keys = await self._store.list(principal.tenant, principal.subject, deadline)
        if len(keys) < self._keys_per_owner:
            return
        now = self._clock.time()
        dead = [key.record for key in keys if is_dead(key.record, now)]
        if not dead:
            raise Conflict(f"You have {len(keys)} keys, the most there may be: revoke one first.")
        await self._store.remove(min(dead, key=lambda record: record.created_at), deadline)


def _made_before(attempt: Attempt) -> Conflict:
    """Its secret went to whoever asked first, or nowhere: it is stored in no place."""
    return Conflict(
        "This key was made before, and its secret is not shown again: if you do not have it,"
        " revoke the key and make another one.",
        details={"key_id": attempt.id},
    )


def _refuse_keys(principal: Principal) -> None:
    # The policy says so too. A key that could make keys would outlive its own revocation.
    if principal.auth == "api_key":
        raise Forbidden("An API key never makes or rotates keys: log in.")
