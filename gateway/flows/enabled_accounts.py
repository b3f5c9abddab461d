"""The account behind a credential, as this replica's users file and the others' have it now."""

from __future__ import annotations

from gateway.domain.identity import User
from gateway.errors import Named, Unauthenticated
from gateway.flows.known_revocations import KnownRevocations
from gateway.ports import Users


class EnabledAccounts:
    """Looks accounts up for each request; what is closed lets nobody in."""

    def __init__(self, users: Users, revoked: KnownRevocations) -> None:
        self._users = users
        self._revoked = revoked

    def get(self, subject: str, credential_id: str) -> User:
        """The account of ``subject``; ``credential_id`` is for the log.

        Raises:
            Unauthenticated: it was removed or disabled.
        """
        user = self._users.get(subject)
        if user is None:
            raise Unauthenticated(reason="user_removed", named=Named(subject, credential_id))
        if user.disabled or self._is_closed_elsewhere(user):
            raise Unauthenticated(reason="user_disabled", named=Named(subject, credential_id))
        return user

    def in_tenant(self, subject: str, tenant: str, credential_id: str) -> User:
        """``get`` of an account that must still be in ``tenant``.

        Raises:
            Unauthenticated: as ``get``, or it was moved to another tenant.
        """
        user = self.get(subject, credential_id)
        if user.tenant != tenant:
            named = Named(subject, credential_id)
            raise Unauthenticated(reason="key_owner_moved", named=named)
        return user

    def is_current(self, user: User) -> bool:
        """Whether the account is still just what ``user`` says; one is never changed in place."""
        return self._users.get(user.subject) is user

    def _is_closed_elsewhere(self, user: User) -> bool:
        """Whether another replica's users file has the account disabled, moved or removed."""
        change = self._revoked.outdates(user)
        return change is not None and change.closed
