"""The accounts: what is read, what is refused, and how a running gateway takes a change over."""

from __future__ import annotations

import json
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.argon2_passwords import hash_password
from gateway.adapters.users_file import (
    UsersFile,
    UsersFileError,
    admin_user,
    editing,
    load_users,
)
from gateway.domain.company import company_subject, unlisted
from gateway.domain.identity import User

HASH = hash_password("correct horse")
ALICE = User("alice", "acme", frozenset({"editor", "reader"}), HASH, 1_800_000_000)
BOB = User("bob", "acme", frozenset({"reader"}), HASH, 1_800_000_000, disabled=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


def save(path: Path, *users: User) -> None:
    with editing(str(path)) as accounts:
        accounts.clear()
        accounts.update({user.subject: user for user in users})


def entry(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "tenant": "acme",
        "roles": ["editor"],
        "password_hash": HASH,
        "password_changed_at": "2027-01-15T08:00:00Z",
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not ...}


def write(path: Path, **users: Any) -> None:
    path.write_text(json.dumps({"version": 1, "users": users}))


def test_what_is_written_is_read_back(path: Path) -> None:
    """Every field, in a file that only its owner may read."""
    save(path, ALICE, BOB)
    assert load_users(str(path)) == {"alice": ALICE, "bob": BOB}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_account_without_a_disabling_time_is_written_without_one(path: Path) -> None:
    """Files of before go on, and stay readable by the version they came from."""
    save(path, ALICE, replace(BOB, tokens_valid_after=1_700_000_000))
    users = json.loads(path.read_text())["users"]
    assert "tokens_valid_after" not in users["alice"]
    assert users["bob"]["tokens_valid_after"] == "2023-11-14T22:13:20Z"
    assert load_users(str(path))["bob"].tokens_valid_after == 1_700_000_000


def test_a_disabling_time_within_a_second_counts_as_the_next_one(path: Path) -> None:
    """Tokens have whole seconds; one of that second may be from before."""
    write(path, alice=entry(tokens_valid_after="2023-11-14T22:13:19.001Z"))
    assert load_users(str(path))["alice"].tokens_valid_after == 1_700_000_000


def test_an_edit_keeps_the_other_entries_and_leaves_no_temporary_file(path: Path) -> None:
    """One account changes, the rest stays."""
    save(path, ALICE, BOB)
    with editing(str(path)) as users:
        del users["alice"]
    assert load_users(str(path)) == {"bob": BOB}
    assert sorted(os.listdir(path.parent)) == ["users.json", "users.json.lock"]


def test_an_edit_that_fails_changes_nothing(path: Path) -> None:
    """The file is replaced whole, or not at all."""
    save(path, ALICE)
    before = path.read_bytes()

    def clear_and_fail() -> None:
        with editing(str(path)) as users:
            users.clear()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        clear_and_fail()
    assert path.read_bytes() == before


def test_two_writers_at_once_lose_nothing(path: Path) -> None:
    """The second waits for the first and reads what it wrote."""
    save(path)

    def add(n: int) -> None:
        with editing(str(path)) as users:
            users[f"user-{n}"] = User(f"user-{n}", "acme", frozenset(), HASH)

    threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load_users(str(path))) == 8


def test_a_link_to_the_file_stays_a_link(tmp_path: Path, path: Path) -> None:
    """Mounted secrets are links; the file behind them is what is replaced."""
    save(path, ALICE)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    save(link, BOB)
    assert link.is_symlink()
    assert load_users(str(path)) == {"bob": BOB}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (entry(tenant="A B"), "tenant"),
        (entry(tenant=...), "tenant"),
        (entry(roles=["Admin"]), "role"),
        (entry(roles="admin"), "roles"),
        (entry(password_hash="plain"), "password_hash"),
        (entry(password_hash=HASH.replace("m=19456", "m=8")), "password_hash"),
        (entry(password_hash=HASH.replace("argon2id", "argon2i")), "password_hash"),
        (entry(password_changed_at="yesterday"), "password_changed_at"),
        (entry(password_changed_at="2027-01-15T08:00:00"), "time zone"),
        (entry(password_changed_at=5), "password_changed_at"),
        (entry(tokens_valid_after="yesterday"), "tokens_valid_after"),
        (entry(tokens_valid_after="2026-01-15T08:00:00"), "tokens_valid_after needs a time zone"),
        (entry(tokens_valid_after="9999-01-15T08:00:00Z"), "tokens_valid_after is in the future"),
        (entry(disabled="no"), "disabled"),
        (entry(admin=True), "admin"),
        ([], "object"),
    ],
)
def test_a_wrong_entry_is_named(path: Path, bad: Any, said: str) -> None:
    """Whoever edits by hand learns which account and what about it."""
    write(path, alice=entry(), mallory=bad)
    with pytest.raises(UsersFileError, match=r"mallory") as caught:
        load_users(str(path))
    assert said in str(caught.value)
    assert HASH not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"version": 2, "users": {}}', '{"version": 1, "users": []}', "[" * 9999],
)
def test_what_is_no_users_file_is_refused(path: Path, text: str) -> None:
    """With the path in the message."""
    path.write_text(text)
    with pytest.raises(UsersFileError, match=r"users\.json"):
        load_users(str(path))


def test_an_account_twice_in_the_file_is_refused(path: Path) -> None:
    """Which of the two was meant is not ours to guess."""
    one = json.dumps(entry())
    path.write_text(f'{{"version": 1, "users": {{"alice": {one}, "alice": {one}}}}}')
    with pytest.raises(UsersFileError, match="alice"):
        load_users(str(path))


def test_a_missing_file_is_a_fault_at_start(path: Path) -> None:
    """Serving with no accounts by mistake helps nobody."""
    with pytest.raises(UsersFileError, match="No such file"):
        UsersFile(str(path))


def test_a_change_is_taken_over_once(path: Path) -> None:
    """``reload_if_changed`` sees it and the revision moves; then all is quiet."""
    save(path, ALICE)
    users = UsersFile(str(path))
    before = users.revision
    assert not users.reload_if_changed()

    save(path, ALICE, BOB)

    assert users.reload_if_changed()
    assert users.get("bob") == BOB
    assert users.revision != before
    assert not users.reload_if_changed()


def test_a_bad_reload_keeps_the_accounts_and_is_reported_once(path: Path) -> None:
    """The fault stays visible until the file is mended."""
    save(path, ALICE)
    users = UsersFile(str(path))
    revision = users.revision
    path.write_text("{")

    with pytest.raises(UsersFileError):
        users.reload_if_changed()

    assert not users.reload_if_changed()
    assert users.get("alice") == ALICE
    assert users.revision == revision
    assert users.fault is not None
    save_over_wreck(path)
    assert users.reload_if_changed()
    assert users.fault is None


def save_over_wreck(path: Path) -> None:
    path.unlink()
    save(path, ALICE)


def test_a_file_that_vanished_keeps_the_accounts(path: Path) -> None:
    """And it is taken over again when it is back."""
    save(path, ALICE)
    users = UsersFile(str(path))
    path.unlink()
    with pytest.raises(UsersFileError):
        users.reload_if_changed()
    assert users.get("alice") == ALICE
    save(path, BOB)
    assert users.reload_if_changed()
    assert users.get("alice") is None


def test_the_environments_admin_stands_beside_the_file(path: Path) -> None:
    """And alone, where there is no file."""
    admin = admin_user("root", "acme", password="correct horse")
    save(path, ALICE)
    both = UsersFile(str(path), admin)
    assert both.get("root") == admin
    assert both.get("alice") == ALICE
    assert UsersFile(None, admin).get("root") == admin
    assert not UsersFile(None, admin).reload_if_changed()


def test_an_admin_who_is_in_the_file_too_is_refused(path: Path) -> None:
    """One name, one account."""
    save(path, ALICE)
    with pytest.raises(UsersFileError, match="alice"):
        UsersFile(str(path), admin_user("alice", "acme", password="correct horse"))


def test_every_worker_gives_the_admin_the_same_hash() -> None:
    """So that a token from one is good at all of them, and none after the password changed."""
    first = admin_user("root", "acme", password="correct horse")
    assert first == admin_user("root", "acme", password="correct horse")
    assert first.password_hash != admin_user("root", "acme", password="other").password_hash
    assert first.password_hash != admin_user("toor", "acme", password="correct horse").password_hash
    assert first == admin_user("root", "acme", password_hash=first.password_hash)


@pytest.mark.parametrize(
    "arguments",
    [
        ("Root", "acme", {"password": "hunter2hunter2"}),
        ("root", "a/b", {"password": "hunter2hunter2"}),
        ("root", "acme", {}),
        ("root", "acme", {"password": ""}),
        ("root", "acme", {"password": "hunter2\0hunter2"}),
        ("root", "acme", {"password": "hunter2\nhunter2"}),
        ("root", "acme", {"password": "hunter2" * 200}),
        ("root", "acme", {"password": "hunter2hunter2", "password_hash": HASH}),
        ("root", "acme", {"password_hash": "hunter2hunter2"}),
    ],
)
def test_an_admin_that_cannot_stand_is_refused_without_showing_the_password(
    arguments: tuple[str, str, dict[str, str]],
) -> None:
    """The text goes on screens and into logs."""
    username, tenant, secret = arguments
    with pytest.raises(UsersFileError, match="admin") as caught:
        admin_user(username, tenant, **secret)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "2027-01-15"])
def test_a_date_without_a_zone_is_a_fault_whatever_the_year(path: Path, date: str) -> None:
    """Python cannot give the Unix time of the first local second: that is told like any fault."""
    users = {"alice": entry(password_changed_at=date)}
    path.write_text(json.dumps({"version": 1, "users": users}))
    with pytest.raises(UsersFileError, match="alice"):
        UsersFile(str(path))


PERSON = company_subject("https://sso.example.com", "erin")


def test_people_of_the_company_are_disabled_and_given_roles(path: Path) -> None:
    """In few words, which stay so when the file is written again."""
    other = company_subject("https://sso.example.com", "rita")
    write(path, **{PERSON: {"disabled": True}, other: {"roles": ["admin"]}}, alice=entry())
    found = load_users(str(path))
    assert found[PERSON] == replace(unlisted(PERSON), disabled=True)
    roles = frozenset({"admin"})
    assert found[other] == replace(unlisted(other), roles=roles, roles_of_claims=False)
    save(path, *found.values())
    assert load_users(str(path)) == found
    assert json.loads(path.read_text())["users"][PERSON] == {"disabled": True}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("oidc-alice", entry()),
        ("oidc-alice", {"disabled": True}),
        (PERSON, entry()),
        (PERSON, {"password_hash": HASH}),
        (PERSON, {"tenant": "acme"}),
        (PERSON, {"roles": ["Admin"]}),
        (PERSON.upper(), {"disabled": True}),
    ],
)
def test_no_account_enters_the_namespace_of_the_companys_people(
    path: Path, name: str, bad: Any
) -> None:
    """Neither a local one nor the environment's admin; what is said of a person has no password."""
    write(path, **{name: bad})
    with pytest.raises(UsersFileError, match=name):
        load_users(str(path))
    with pytest.raises(UsersFileError, match="oidc-"):
        admin_user("oidc-root", "main", password="correct horse")
