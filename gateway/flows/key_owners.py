"""What the owner of an API key may do at this moment, whoever keeps his account.

A local account is in the users file. A person of the company is not: of him the last sign-in is
known (``sign_ins``), which goes along with the look-up of his key. He need not be signed in for his
keys to work; but when his last sign-in is too long ago, nobody knows any more whether he still may,
and they sleep until he signs in again.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.api_keys import KeyRecord
from gateway.domain.company import SeenPerson, is_company_name
from gateway.errors import Named, Unauthenticated
from gateway.flows.enabled_accounts import EnabledAccounts
from gateway.ports import Clock, Deadline, People


@dataclass(frozen=True, slots=True)
class CompanyOwners:
    """Args: ``sleep_after_s`` is how long keys work after their owner's last sign-in."""

    people: People
    sleep_after_s: float


class KeyOwners:
    """Args: ``company`` is ``None`` where nobody of a company can sign in: no key of one works."""

    def __init__(
        self, accounts: EnabledAccounts, clock: Clock, company: CompanyOwners | None = None
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._company = company

    async def look_up(self, record: KeyRecord, deadline: Deadline) -> SeenPerson | None:
        """What has to be asked for to know the owner; raises ``StorageUnavailable``."""
        if self._company is None or not is_company_name(record.owner):
            return None
        return await self._company.people.get(record.owner, deadline)

    def roles(self, record: KeyRecord, person: SeenPerson | None) -> frozenset[str]:
        """The owner's roles now; ``person`` is what ``look_up`` gave.

        Raises:
            Unauthenticated: the owner was removed, disabled, moved, or is away for too long.
        """
        account = self._accounts.in_tenant(record.owner, record.tenant, record.key_id)
        if not is_company_name(record.owner):
            return account.roles
        named = Named(record.owner, record.key_id)
        if self._company is None or person is None:
            raise Unauthenticated(reason="user_removed", named=named)
        if person.tenant != record.tenant:
            raise Unauthenticated(reason="key_owner_moved", named=named)
        if self._clock.time() >= person.signed_in_at + self._company.sleep_after_s:
            raise Unauthenticated(
                "The owner of this API key has not signed in for a long time: when he does, the key"
                " works again.",
                reason="key_sleeps",
                named=named,
            )
        return person.roles if account.roles_of_claims else account.roles
