"""The accounts that the settings name, and those of before where the users file became wrong.

The supervisor keeps ``Accounts`` and reads a changed file as every worker does. A worker that is
started when the file is wrong takes the accounts that the supervisor read last, and so serves what
the other workers serve. Without them it could not start, and a typing error in the file would end
the whole gateway.
"""

from __future__ import annotations

import contextlib

import structlog

from gateway.adapters.users_file import UsersFile, UsersFileError, admin_user
from gateway.settings import Settings

__all__ = ["Accounts", "UsersFileError", "build_users", "users_found"]

log = structlog.get_logger("gateway.accounts")


class Accounts:
    """The accounts for workers that are not started yet, in the process that will fork them.

    Raises:
        UsersFileError: the users file is missing or wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._users = build_users(settings)

    def follow(self) -> None:
        """Takes over a changed file; one that is wrong changes nothing, and the workers log it."""
        with contextlib.suppress(UsersFileError):
            self._users.reload_if_changed()

    def adopt(self, settings: Settings) -> bool:
        """Takes over those of other settings; false, and no change, where they are wrong."""
        found, _ = users_found(settings)
        if found is not None:
            self._users.adopt(found)
        return found is not None

    def users_for(self, settings: Settings) -> UsersFile:
        """In a worker: the accounts in the file, or those of before where the file is wrong."""
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
