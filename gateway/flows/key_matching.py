"""From an API key as it was sent to its record, with as few questions to the store as can be.

A key whose checksum shows it to be misspelled or made up is refused at once. What is let in is
remembered; look-ups for what is not, and cannot be told from a made-up key, are limited
(``unknown_keys.py``).
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.domain.api_keys import (
    KeyRecord,
    KeySecret,
    PresentedKey,
    matching_secret,
    parse_key,
)
from gateway.domain.company import SeenPerson
from gateway.domain.key_checksums import KeyChecksums
from gateway.errors import Named, Unauthenticated
from gateway.flows.key_lookups import KeyLookups, LookedUp, LookupLimit
from gateway.flows.unknown_keys import UnknownKeys
from gateway.ports import Clock, Deadline


class KeyMatch(NamedTuple):
    """A key that was found, the secret of it that was presented, and what is known of its owner."""

    record: KeyRecord
    secret: KeySecret
    owner: SeenPerson | None


class KeyMatching:
    """Attributes: ``checksums`` may be replaced at any time, as the secrets are."""

    def __init__(
        self,
        lookups: KeyLookups,
        clock: Clock,
        checksums: KeyChecksums | None,
        unknown: UnknownKeys | None,
    ) -> None:
        self._lookups = lookups
        self._clock = clock
        self._unknown = unknown
        self.checksums = checksums

    def presented(self, text: str) -> PresentedKey:
        """The key's parts; raises ``Unauthenticated`` where it is misspelled or made up."""
        presented = parse_key(text, self.checksums)
        if presented is None:
            raise Unauthenticated(reason="key_malformed")
        return presented

    async def find(
        self, presented: PresentedKey, deadline: Deadline, sent_after: float, address: str | None
    ) -> KeyMatch:
        """The look-up that found the record, and which of its secrets was presented.

        A cached record without the secret may be older than a rotation whose answer the client
        has already, so the store is asked once more before the key is refused: for an id one
        question at a time, and within the limits unless the checksum shows that the key is ours.

        Args:
            address: the client's; ``None`` where the key was let in before and has no limit.

        Raises:
            Unauthenticated: there is no such key, or its secret is another one.
            RateLimited: there are too many look-ups for unknown keys.
            StorageUnavailable: it cannot be looked up now.
        """
        key_id, arrived_at = presented.key_id, self._clock.monotonic()
        limit = self._limit(presented, address)
        known = self._unknown is not None and self._unknown.knows(key_id)
        answer = await self._lookups.get(
            key_id, deadline, sent_after=sent_after, limit=None if known else limit
        )
        match = match_of(answer, presented)
        if match is None and answer.record is not None and answer.sent_at < arrived_at:
            answer = await self._lookups.get(
                key_id, deadline, sent_after=arrived_at, limit=limit, in_line=True
            )
            match = match_of(answer, presented)
        if match is None:
            raise unknown_key(presented)
        if self._unknown is not None:
            self._unknown.remember(key_id)
        return match

    def _limit(self, presented: PresentedKey, address: str | None) -> LookupLimit | None:
        if self._unknown is None or address is None or presented.made_here:
            return None
        return self._unknown.at(address)


def unknown_key(presented: PresentedKey) -> Unauthenticated:
    """Names no owner, also where the id is a key's: who sent it has shown nothing."""
    return Unauthenticated(reason="key_unknown", named=Named(credential_id=presented.key_id))


def match_of(answer: LookedUp, presented: PresentedKey) -> KeyMatch | None:
    """The record with the secret of it that was presented, if it has that one."""
    if answer.record is None:
        return None
    secret = matching_secret(answer.record, presented.secret)
    return None if secret is None else KeyMatch(answer.record, secret, answer.owner)
