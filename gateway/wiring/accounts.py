"""The accounts that the settings name, and those of before where the users file became wrong.

The supervisor keeps ``Accounts`` and reads a changed file as every worker does. A worker that is
started when the file is wrong takes the accounts that the supervisor read last, and so serves what
the other workers serve. Without them it could not start, and a typing error in the file would end
the whole gateway.
"""

from __future__ import annotations

import contextlib

import structlog

from gateway.adapters.users_entries import UsersFileError
from gateway.adapters.users_file import UsersFile, admin_user
from gateway.domain.identity import User
from gateway.settings import Fault, Settings

__all__ = ["Accounts", "UsersFileError", "accounts_faults", "build_users", "users_found"]

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
    return _users_of(settings, _admin_of(settings))


def _admin_of(settings: Settings) -> User | None:
    if settings.admin_username is None:
        return None
    return admin_user(
        settings.admin_username,
        settings.admin_tenant,
        password=settings.admin_password,
        password_hash=settings.admin_password_hash,
    )


def _users_of(settings: Settings, admin: User | None) -> UsersFile:
    return UsersFile(str(settings.users_file) if settings.users_file else None, admin)


def accounts_faults(settings: Settings) -> list[Fault]:
    """What is wrong with the admin and with the users file, each under its setting's name."""
    faults, admin = [], None
    try:
        admin = _admin_of(settings)
    except UsersFileError as problem:
        given = "PASSWORD" if settings.admin_password_hash is None else "PASSWORD_HASH"
        faults.append(Fault(f"GATEWAY_ADMIN_{given}", None, f"a usable account ({problem})"))
    try:
        _users_of(settings, admin)
    except UsersFileError as problem:
        faults.append(Fault("GATEWAY_USERS_FILE", None, f"a file of accounts ({problem})"))
    return faults


def users_found(settings: Settings) -> tuple[UsersFile | None, list[str]]:
    """The accounts, or what is wrong with them."""
    try:
        return build_users(settings), []
    except UsersFileError as exc:
        return None, [str(exc)]
