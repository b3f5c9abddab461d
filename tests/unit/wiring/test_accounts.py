"""Accounts of workers to come: the file's, and where it is wrong those it had before."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.users_file import UsersFileError, editing
from gateway.domain.identity import User
from gateway.settings import Settings
from gateway.wiring.accounts import Accounts

from ..valid_settings import load

HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43


def written(path: Path, *names: str) -> Settings:
    """A users file with these accounts, and the settings that name it."""
    path.unlink(missing_ok=True)
    with editing(str(path)) as users:
        users |= {name: User(name, "acme", frozenset({"reader"}), HASH, 0) for name in names}
    return load(GATEWAY_USERS_FILE=str(path))


def names(accounts: Accounts, settings: Settings) -> set[str]:
    users = accounts.users_for(settings)
    return {name for name in ("ann", "bob", "eve") if users.get(name)}


def test_a_wrong_file_stands_in_nobodys_way(tmp_path: Path) -> None:
    """A worker that starts then has the accounts of before, changes that were seen included."""
    path = tmp_path / "users.json"
    settings = written(path, "bob", "eve")
    accounts = Accounts(settings)
    written(path, "bob")
    accounts.follow()
    path.write_text("no users")
    accounts.follow()
    assert names(accounts, settings) == {"bob"}
    written(path, "ann")
    assert names(accounts, settings) == {"ann"}


def test_settings_that_name_a_wrong_file_change_nothing(tmp_path: Path) -> None:
    """A reload takes over all or nothing."""
    settings = written(tmp_path / "users.json", "bob")
    accounts = Accounts(settings)
    wrong = load(GATEWAY_USERS_FILE=str(tmp_path / "none.json"))
    assert not accounts.adopt(wrong)
    assert names(accounts, wrong) == {"bob"}
    assert accounts.adopt(written(tmp_path / "others.json", "eve"))
    assert names(accounts, wrong) == {"eve"}


def test_without_accounts_nothing_starts(tmp_path: Path) -> None:
    """There is nothing to stay with."""
    with pytest.raises(UsersFileError, match=r"none\.json"):
        Accounts(load(GATEWAY_USERS_FILE=str(tmp_path / "none.json")))
