"""The accounts: a JSON file written by ``gateway user``, and one admin from the environment.

The file is read whole and held in memory; a running gateway calls ``reload_if_changed`` about once
a second, which costs one ``stat`` while nothing changed. A file that became wrong changes nothing:
the accounts stay as they were and the fault is reported, once per version of the file.

    {"version": 1, "users": {"alice": {…}}}

What an account looks like is in ``users_entries``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.adapters.argon2_passwords import hash_with_salt_of
from gateway.adapters.users_entries import UsersFileError, entry_of, user_fault, user_of
from gateway.domain.identity import User
from gateway.domain.passwords import password_fault

_VERSION = 1
_Stamp = tuple[int, int, int]


class UsersFile:
    """Implements ``ports.Users``.

    Args:
        path: of the file, or ``None`` when there is only the environment's admin.
        admin: from ``admin_user``; a file that has an account of that name too is refused.

    Raises:
        UsersFileError: the file is missing or wrong.
    """

    def __init__(self, path: str | None, admin: User | None = None) -> None:
        self._path = path
        self._admin = admin
        self._revision = 0
        self._stamp: _Stamp | None = None
        self._users: dict[str, User] = {admin.subject: admin} if admin else {}
        self.fault: str | None = None
        if path is not None:
            self.reload()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def accounts(self) -> Mapping[str, User]:
        """All of now, by subject; a reload changes nothing in it."""
        return self._users

    def get(self, subject: str) -> User | None:
        return self._users.get(subject)

    def __len__(self) -> int:
        return len(self._users)

    def reload_if_changed(self) -> bool:
        """Reloads when the file has changed since the last look; returns whether it did.

        Raises:
            UsersFileError: as ``reload``; the next call is silent until the file changes again.
        """
        if self._path is None or _stamp(self._path) == self._stamp:
            return False
        self.reload()
        return True

    def reload(self) -> None:
        """Reads the file again.

        Raises:
            UsersFileError: nothing was changed; ``fault`` keeps the text until a reload succeeds.
        """
        if self._path is None:
            return
        # Taken before reading: a write in between makes the next look see a difference.
        self._stamp = _stamp(self._path)
        try:
            self._users = self._with_admin(load_users(self._path))
        except UsersFileError as exc:
            self.fault = str(exc)
            raise
        self._revision += 1
        self.fault = None

    def adopt(self, other: UsersFile) -> None:
        """Takes over the accounts of another one, its file and its admin too."""
        self._path, self._admin = other._path, other._admin
        self._stamp, self._users, self.fault = other._stamp, other._users, other.fault
        self._revision += 1

    def _with_admin(self, users: dict[str, User]) -> dict[str, User]:
        if self._admin is None:
            return users
        name = self._admin.subject
        if name in users:
            raise UsersFileError(f"{self._path}: user {name!r} is the environment's admin already")
        return {**users, name: self._admin}


def admin_user(
    username: str, tenant: str, *, password: str | None = None, password_hash: str | None = None
) -> User:
    """The one admin of a single-user set-up, from a password or its hash.

    The salt of a plain password is a digest of the name, so that all workers and replicas agree on
    the hash without talking; the tokens' password tag then refuses, everywhere, what was issued
    under another password. ``password_changed_at`` stays 0: nobody knows when a variable changed.

    Raises:
        UsersFileError: with what was expected; never with the password.
    """
    if (password is None) == (password_hash is None):
        raise UsersFileError("the admin needs a password or a password hash, not both")
    if password_hash is None:
        password = password or ""
        if fault := password_fault(password):
            raise UsersFileError(f"the admin's password {fault}")
        password_hash = hash_with_salt_of(password, f"kb-gateway admin\n{tenant}\n{username}")
    user = User(username, tenant, frozenset({"admin"}), password_hash)
    if fault := user_fault(user):
        raise UsersFileError(f"the admin's {fault}")
    return user


def load_users(path: str) -> dict[str, User]:
    """The accounts in the file at ``path``, by subject. Raises ``UsersFileError``."""
    try:
        # A byte order mark, with which some editors begin a file, is no part of the JSON.
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsersFileError(f"{path}: cannot be read ({_why(exc)})") from exc
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as exc:
        raise UsersFileError(f"{path}: is not JSON ({exc})") from exc
    try:
        return _users_of(document)
    except UsersFileError as exc:
        raise UsersFileError(f"{path}: {exc}") from exc


@contextlib.contextmanager
def editing(path: str) -> Iterator[dict[str, User]]:
    """The accounts to change in place; written when the block ends well, else left as they were.

    A lock file beside it keeps a second writer waiting, so that no edit swallows another. A file
    that does not exist yet counts as empty. Raises ``UsersFileError``.
    """
    real = os.path.realpath(path)
    try:
        lock = os.open(f"{real}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise UsersFileError(f"{path}: cannot be written ({_why(exc)})") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        users = load_users(real) if os.path.exists(real) else {}
        yield users
        _write(real, users)
    finally:
        os.close(lock)


def _users_of(document: Any) -> dict[str, User]:
    if not isinstance(document, dict) or document.keys() != {"version", "users"}:
        raise UsersFileError('expected {"version": 1, "users": {…}}')
    if document["version"] != _VERSION or not isinstance(document["users"], dict):
        raise UsersFileError('expected "version": 1 and an object of users')
    return {name: user_of(name, entry) for name, entry in document["users"].items()}


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} stands there twice")
        found[name] = value
    return found


def _write(path: str, users: Mapping[str, User]) -> None:
    """Puts a whole new file in the old one's place: a reader sees one or the other."""
    entries = {name: entry_of(users[name]) for name in sorted(users)}
    text = json.dumps({"version": _VERSION, "users": entries}, indent=2) + "\n"
    try:
        _replace(path, text.encode("utf-8"))
    except OSError as exc:
        raise UsersFileError(f"{path}: cannot be written ({_why(exc)})") from exc


def _replace(path: str, content: bytes) -> None:
    folder = os.path.dirname(path)
    # mkstemp gives mode 0600 from the first byte on.
    descriptor, temporary = tempfile.mkstemp(prefix=".users-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _keep_owner(path, file.fileno())
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _keep_owner(path: str, descriptor: int) -> None:
    """Root may edit the file of the account the gateway runs as; that one must still read it."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        before = os.stat(path)
        os.fchown(descriptor, before.st_uid, before.st_gid)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp(path: str) -> _Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _why(exc: Exception) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else "not UTF-8"
