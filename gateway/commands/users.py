"""``gateway user add|list|remove|passwd|disable|enable``: the accounts in the users file.

Passwords are asked for, or read from standard input for scripts; never taken from the command line,
which every process of the machine can read. A running gateway uses a change within seconds.
"""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.adapters.argon2_passwords import hash_password
from gateway.adapters.users_entries import UsersFileError, user_fault
from gateway.adapters.users_file import editing, load_users
from gateway.domain.company import is_company_name, is_company_subject, unlisted
from gateway.domain.identity import User
from gateway.domain.passwords import password_fault

PASSWORD_MIN_CHARS = 8
# The roles of opa/data.json; a test compares them.
BUNDLED_ROLES = frozenset({"reader", "editor", "admin"})

_Accounts = dict[str, User]


class _Refused(Exception):
    """A command that cannot be carried out; its text is shown."""


def register(subparsers: Any, default_users_file: str | None) -> None:
    """Adds ``user`` to the subparsers of ``gateway``; each handler returns the exit code.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned. The handler is set as the
            default ``handler``, called with the parsed arguments.
        default_users_file: the path when ``--users-file`` is not given.
    """
    user = subparsers.add_parser("user", help="manage the accounts in the users file")
    commands = user.add_subparsers(dest="user_command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], str], help_text: str) -> Any:
        parser = commands.add_parser(name, help=help_text, description=help_text)
        parser.add_argument(
            "--users-file",
            default=default_users_file,
            metavar="FILE",
            help="the users file (default: GATEWAY_USERS_FILE)",
        )
        parser.set_defaults(handler=lambda arguments: _run(run, arguments))
        return parser

    add = command("add", _add, "add an account; its password is asked for")
    _name(add)
    add.add_argument("--tenant", required=True, help="the tenant that the account belongs to")
    add.add_argument(
        "--role",
        action="append",
        required=True,
        metavar="ROLE",
        help="reader, editor or admin; may be given several times",
    )
    _password_stdin(add)
    command("list", _list, "list the accounts")
    _name(command("remove", _remove, "remove an account; its tokens and keys stop working"))
    passwd = command("passwd", _passwd, "set a new password; older tokens stop working")
    _name(passwd)
    _password_stdin(passwd)
    _name(command("disable", _disable, "disable an account without removing it"))
    _name(command("enable", _enable, "enable a disabled account again"))


def _name(parser: Any) -> None:
    parser.add_argument("name", help="the account's name")


def _password_stdin(parser: Any) -> None:
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of standard input",
    )


def _run(run: Callable[[argparse.Namespace], str], arguments: argparse.Namespace) -> int:
    if not arguments.users_file:
        print("gateway user: give the file by --users-file or GATEWAY_USERS_FILE", file=sys.stderr)
        return 2
    try:
        print(run(arguments))
    except (UsersFileError, _Refused) as exc:
        print(f"gateway user: {exc}", file=sys.stderr)
        return 1
    return 0


def _add(arguments: argparse.Namespace) -> str:
    # Asked before the file is locked, so that nobody waits for the typing.
    password = _new_password(arguments)
    with editing(arguments.users_file) as users:
        if arguments.name in users:
            raise _Refused(f"user {arguments.name!r} exists already ('passwd' changes a password)")
        user = User(
            subject=arguments.name,
            tenant=arguments.tenant,
            roles=frozenset(arguments.role),
            password_hash=hash_password(password),
            password_changed_at=int(time.time()),
        )
        if fault := user_fault(user):
            raise _Refused(fault)
        users[user.subject] = user
    if unknown := sorted(user.roles - BUNDLED_ROLES):
        # A note only: a custom policy may have other roles, but a typing error is likelier.
        print(
            f"gateway user: note: the bundled policy has no role {', '.join(unknown)}"
            f" (it has {', '.join(sorted(BUNDLED_ROLES))})",
            file=sys.stderr,
        )
    return f"added {_described(user)}"


def _list(arguments: argparse.Namespace) -> str:
    users = load_users(arguments.users_file)
    return "\n".join(_described(users[name]) for name in sorted(users)) or "no accounts yet"


def _remove(arguments: argparse.Namespace) -> str:
    with editing(arguments.users_file) as users:
        _existing(users, arguments.name)
        del users[arguments.name]
    return f"removed {arguments.name}"


def _passwd(arguments: argparse.Namespace) -> str:
    _existing(load_users(arguments.users_file), arguments.name)
    if is_company_name(arguments.name):
        raise _Refused(f"{arguments.name!r} is of the company, which keeps his password")
    password_hash = hash_password(_new_password(arguments))
    with editing(arguments.users_file) as users:
        users[arguments.name] = replace(
            _existing(users, arguments.name),
            password_hash=password_hash,
            password_changed_at=int(time.time()),
        )
    return f"changed the password of {arguments.name}; tokens issued before it stop working"


def _disable(arguments: argparse.Namespace) -> str:
    return _set_disabled(arguments, True)


def _enable(arguments: argparse.Namespace) -> str:
    return _set_disabled(arguments, False)


def _set_disabled(arguments: argparse.Namespace, disabled: bool) -> str:
    with editing(arguments.users_file) as users:
        user = _existing_or_person(users, arguments.name)
        if user.disabled != disabled:
            users[user.subject] = _without_tokens(replace(user, disabled=disabled))
    return f"{'disabled' if disabled else 'enabled'} {arguments.name}"


def _without_tokens(user: User) -> User:
    """The account with all its tokens so far ended for good.

    Also where it is enabled: who disabled it by hand, or with an older version, wrote no time. The
    next full second, and never one that stood there before: tokens of this second end too.
    """
    ended_at = max(int(time.time()), user.tokens_valid_after) + 1
    return replace(user, tokens_valid_after=ended_at)


def _existing_or_person(users: _Accounts, name: str) -> User:
    """People of the company need no entry before they are disabled."""
    if name not in users and is_company_subject(name):
        return unlisted(name)
    return _existing(users, name)


def _existing(users: _Accounts, name: str) -> User:
    if name not in users:
        raise _Refused(f"there is no user {name!r}")
    return users[name]


def _described(user: User) -> str:
    state = " (disabled)" if user.disabled else ""
    if is_company_name(user.subject):
        roles = "its token's" if user.roles_of_claims else ",".join(sorted(user.roles))
        return f"{user.subject}  of the company  roles={roles}{state}"
    return f"{user.subject}  tenant={user.tenant}  roles={','.join(sorted(user.roles))}{state}"


def _new_password(arguments: argparse.Namespace) -> str:
    password = _first_line() if arguments.password_stdin else _asked_twice()
    if len(password) < PASSWORD_MIN_CHARS:
        raise _Refused(f"the password needs at least {PASSWORD_MIN_CHARS} characters")
    if fault := password_fault(password):
        raise _Refused(f"the password {fault}")
    return password


def _first_line() -> str:
    try:
        # Some editors and shells begin a text with a byte order mark, which nobody types.
        return sys.stdin.readline().removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _Refused("the password is not valid UTF-8") from None


def _asked_twice() -> str:
    if not sys.stdin.isatty():
        raise _Refused("no terminal to ask for the password: use --password-stdin")
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Password again: ")
    except (EOFError, KeyboardInterrupt) as exc:
        raise _Refused("no password given") from exc
    if password != again:
        raise _Refused("the two passwords differ")
    return password
