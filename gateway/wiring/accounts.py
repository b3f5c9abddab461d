"""The accounts the settings name, and those that stay where the users file has become wrong.

The supervisor keeps ``Accounts``, which follow the file as every worker's do. A worker that takes
another one's place when the file is wrong goes on with them, as the others do with theirs; without
them it could not start, and the whole gateway would end for a typing error.
"""

from __future__ import annotations

import contextlib

import structlog

from gateway.adapters.users_file import UsersFile, UsersFileError, admin_user
from gateway.settings import Settings

log = structlog.get_logger("gateway.accounts")


class Accounts:
    """Those of the workers to come.

    Raises:
        UsersFileError: the users file is missing or wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._users = build_users(settings)

    def follow(self) -> None:
        """Takes over a changed file; one that is wrong changes nothing, as the workers log."""
        with contextlib.suppress(UsersFileError):
            self._users.reload_if_changed()

    def adopt(self, settings: Settings) -> bool:
        """Those that other settings name; false, and nothing changes, where they are wrong."""
        found, _ = users_found(settings)
        if found is not None:
            self._users.adopt(found)
        return found is not None

    def users_for(self, settings: Settings) -> UsersFile:
        """In a worker: what the file has now, or what it had when it was last good."""
        found, faults = users_found(settings)
        for fault in faults:
            log.error("users file not taken over", reason=fault)
        return self._users if found is None else found


def build_users(settings: Settings) -> UsersFile:
    """Raises ``UsersFileError``."""
    admin = None
    if settings.admin_username is not None:
        admin = admin_user(
            settings.admin_username,
            settings.admin_tenant,
            password=settings.admin_password,
            password_hash=settings.admin_password_hash,
        )
    return UsersFile(str(settings.users_file) if settings.users_file else None, admin)


def users_found(settings: Settings) -> tuple[UsersFile | None, list[str]]:
    """The accounts, or what is wrong with them."""
    try:
        return build_users(settings), []
    except UsersFileError as exc:
        return None, [str(exc)]
