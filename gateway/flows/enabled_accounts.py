"""The account behind a credential, as this replica's users file and the others' have it now."""

from __future__ import annotations

from gateway.domain.company import is_company_name, unlisted
from gateway.domain.identity import User
from gateway.errors import Named, Unauthenticated
from gateway.flows.known_revocations import KnownRevocations
from gateway.ports import Users


class EnabledAccounts:
    """Looks accounts up for each request; what is closed lets nobody in.

    Args: ``company`` says whether people of the company may come in. They need no account: the
        users file can have one to disable somebody, or to give him other roles.
    """

    def __init__(self, users: Users, revoked: KnownRevocations, *, company: bool = False) -> None:
        self._users = users
        self._revoked = revoked
        self._company = company

    def get(self, subject: str, credential_id: str) -> User:
        """The account of ``subject``; ``credential_id`` is for the log.

        Raises:
            Unauthenticated: it was removed or disabled.
        """
        user = self._account(subject)
        if user is None:
            raise Unauthenticated(reason="user_removed", named=Named(subject, credential_id))
        if user.disabled or self._is_closed_elsewhere(user):
            raise Unauthenticated(reason="user_disabled", named=Named(subject, credential_id))
        return user

    def in_tenant(self, subject: str, tenant: str, credential_id: str) -> User:
        """``get`` of an account that must still be in ``tenant``; the company says itself where its
        people are.

        Raises:
            Unauthenticated: as ``get``, or it was moved to another tenant.
        """
        user = self.get(subject, credential_id)
        if user.tenant != tenant and not is_company_name(subject):
            named = Named(subject, credential_id)
            raise Unauthenticated(reason="key_owner_moved", named=named)
        return user

    def is_current(self, user: User) -> bool:
        """Whether the account is still just what ``user`` says; one is never changed in place."""
        return self._account(user.subject) is user

    def _account(self, subject: str) -> User | None:
        listed = self._users.get(subject)
        if not is_company_name(subject):
            return listed
        if not self._company:
            return None
        return unlisted(subject) if listed is None else listed

    def _is_closed_elsewhere(self, user: User) -> bool:
        """Whether another replica's users file has the account disabled, moved or removed."""
        change = self._revoked.outdates(user)
        return change is not None and change.closed
