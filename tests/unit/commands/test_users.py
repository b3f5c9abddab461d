"""``gateway user``: what each command leaves in the file, says, and returns."""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path

import pytest

from gateway.adapters.argon2_passwords import Argon2Passwords
from gateway.adapters.users_file import load_users
from gateway.commands import users
from gateway.domain.identity import User
from gateway.domain.tokens import Claims, issue, stands_for, verify
from tests.unit.values import token_settings

PASSWORD = "correct horse"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Console:
    """Runs commands on one file; standard input is what the test says."""

    stdin_type: type[io.StringIO] = io.StringIO

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self._monkeypatch = monkeypatch

    def run(self, *words: str, stdin: str = "", default: str | None = None) -> int:
        self._monkeypatch.setattr("sys.stdin", self.stdin_type(stdin))
        parser = argparse.ArgumentParser()
        chosen = str(self.path) if default is None else default
        users.register(parser.add_subparsers(), chosen)
        arguments = parser.parse_args(["user", *words])
        return int(arguments.handler(arguments))

    def add(self, name: str = "alice") -> int:
        words = ("add", name, "--tenant", "acme", "--role", "editor", "--role", "reader")
        return self.run(*words, "--password-stdin", stdin=f"{PASSWORD}\n")

    @property
    def users(self) -> dict[str, User]:
        return load_users(str(self.path))


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    return Console(tmp_path / "users.json", monkeypatch)


async def is_password(user: User, password: str) -> bool:
    passwords = Argon2Passwords(max_waiting=0)
    try:
        return await passwords.verify(user.password_hash, password)
    finally:
        passwords.close()


async def test_an_added_account_can_log_in(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the tenant, the roles and the password that were given."""
    assert console.add() == 0
    alice = console.users["alice"]
    assert (alice.tenant, alice.roles) == ("acme", {"editor", "reader"})
    assert alice.password_changed_at > 0
    assert await is_password(alice, PASSWORD)
    assert PASSWORD not in capsys.readouterr().out


def test_an_account_is_not_added_twice(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody's password is changed by mistake."""
    console.add()
    before = console.users
    assert console.add() == 1
    assert "exists already" in capsys.readouterr().err
    assert console.users == before


async def test_a_new_password_replaces_the_old_one(console: Console) -> None:
    """And is dated, so that older tokens end."""
    console.add()
    assert console.run("passwd", "alice", "--password-stdin", stdin="another horse\n") == 0
    assert await is_password(console.users["alice"], "another horse")
    assert not await is_password(console.users["alice"], PASSWORD)


def test_disable_enable_and_remove(console: Console) -> None:
    """One account at a time; the others stay."""
    console.add("alice")
    console.add("bob")
    assert console.run("disable", "alice") == 0
    assert console.users["alice"].disabled
    assert console.run("enable", "alice") == 0
    assert not console.users["alice"].disabled
    assert console.run("remove", "alice") == 0
    assert console.users.keys() == {"bob"}


def test_disabling_ends_the_tokens_so_far_and_enabling_revives_none(console: Console) -> None:
    """Each change of the state dates the account anew, also one that a hand disabled."""
    console.add("alice")
    assert console.users["alice"].tokens_valid_after == 0
    started = int(time.time())
    console.run("disable", "alice")
    disabled = console.users["alice"].tokens_valid_after
    assert disabled > started
    console.run("enable", "alice")
    assert console.users["alice"].tokens_valid_after > disabled


@pytest.mark.parametrize("command", ["disable", "enable"])
def test_a_command_that_changes_nothing_ends_no_tokens(console: Console, command: str) -> None:
    """Enabling an account that is enabled is not a reason to log in again."""
    console.add("alice")
    console.run("disable", "alice")
    console.run("enable", "alice")
    if command == "disable":
        console.run("disable", "alice")
    before = console.users
    assert console.run(command, "alice") == 0
    assert console.users == before


def test_a_token_from_before_a_disabling_is_dead_after_the_enabling(console: Console) -> None:
    """And one of a login in the same second lives."""
    settings = token_settings(b"x" * 32)

    def log_in() -> Claims:
        token = issue(console.users["alice"], time.time(), settings).access_token
        return verify(token, time.time(), settings)

    console.add("alice")
    before = log_in()
    console.run("disable", "alice")
    console.run("enable", "alice")
    assert not stands_for(before, console.users["alice"], settings)
    assert stands_for(log_in(), console.users["alice"], settings)


async def test_a_byte_order_mark_before_the_password_is_no_part_of_it(console: Console) -> None:
    """Some shells write one into a pipe; nobody types it at the login."""
    console.add()
    assert console.run("passwd", "alice", "--password-stdin", stdin="\ufeffanother horse\n") == 0
    assert await is_password(console.users["alice"], "another horse")


def test_the_list_names_everybody_and_shows_no_hash(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    """Name, tenant, roles and whether the account is locked."""
    console.add("bob")
    console.add("alice")
    console.run("disable", "bob")
    capsys.readouterr()
    assert console.run("list") == 0
    shown = capsys.readouterr().out
    assert shown.index("alice") < shown.index("bob")
    assert "tenant=acme" in shown
    assert "(disabled)" in shown
    assert "argon2" not in shown


@pytest.mark.parametrize("command", ["remove", "passwd", "disable", "enable"])
def test_an_unknown_account_is_an_error(
    console: Console, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Said by name, with exit code 1."""
    console.add()
    assert console.run(command, "nobody", stdin=PASSWORD) == 1
    assert "'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("--role", "editor", "--password-stdin"), "short\n", "at least 8"),
        (("--role", "editor", "--password-stdin"), "", "at least 8"),
        (("--role", "editor", "--password-stdin"), "é" * 600, "1024 bytes"),
        (("--role", "editor", "--password-stdin"), "nul\0within\n", "control character"),
        (("--role", "editor", "--password-stdin"), "nul at its end\0\n", "control character"),
        (("--role", "editor", "--password-stdin"), "escape\x1b[A\n", "control character"),
        (("--role", "editor", "--password-stdin"), "next\x85line\n", "control character"),
        (("--role", "editor", "--password-stdin"), "a\ttab within\n", "control character"),
        (("--role", "Editor", "--password-stdin"), PASSWORD, "role 'Editor'"),
        (("--role", "editor"), PASSWORD, "--password-stdin"),
    ],
)
def test_an_account_that_cannot_stand_is_not_added(
    console: Console,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    stdin: str,
    said: str,
) -> None:
    """The message says what was expected; the file is not even made."""
    assert console.run("add", "alice", "--tenant", "acme", *words, stdin=stdin) == 1
    assert said in capsys.readouterr().err
    assert not console.path.exists()


@pytest.mark.parametrize("name", ["Alice", "../alice", "a b", ""])
def test_a_name_that_cannot_be_part_of_a_key_is_refused(console: Console, name: str) -> None:
    """Names become parts of object keys and headers."""
    assert console.add(name) == 1
    assert not console.path.exists()


def test_a_password_typed_twice_differently_is_refused(
    console: Console, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal asks twice and shows nothing."""
    typed = iter(["correct horse", "corect horse", "correct horse", "correct horse"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(typed))
    console.stdin_type = Terminal
    words = ("add", "alice", "--tenant", "acme", "--role", "editor")
    assert console.run(*words) == 1
    assert "differ" in capsys.readouterr().err
    assert console.run(*words) == 0
    assert "alice" in console.users


def test_a_control_character_typed_by_mistake_is_refused(
    console: Console, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An arrow key pressed at the prompt is three characters that no login form sends."""
    monkeypatch.setattr("getpass.getpass", lambda _: "correct horse\x1b[D")
    console.stdin_type = Terminal
    assert console.run("add", "alice", "--tenant", "acme", "--role", "editor") == 1
    assert "control character" in capsys.readouterr().err
    assert not console.path.exists()


def test_without_a_file_the_command_says_where_to_name_one(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment variable or the option."""
    assert console.run("list", default="") == 2
    assert "GATEWAY_USERS_FILE" in capsys.readouterr().err


def test_a_wrecked_file_is_said_so_and_left_alone(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody's half-done edit is not thrown away."""
    console.path.write_text("{ half")
    assert console.add() == 1
    assert "not JSON" in capsys.readouterr().err
    assert console.path.read_text() == "{ half"


def test_a_role_the_bundled_policy_lacks_is_added_with_a_note(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    """A policy of one's own may have it; where it was a typing error, the note tells."""
    words = ("add", "bob", "--tenant", "acme", "--role", "edtor", "--password-stdin")
    assert console.run(*words, stdin=f"{PASSWORD}\n") == 0
    assert console.users["bob"].roles == {"edtor"}
    assert "no role edtor (it has admin, editor, reader)" in capsys.readouterr().err


def test_bundled_roles_are_those_of_the_policy() -> None:
    """The note must not speak of roles that were renamed."""
    data = json.loads((Path(__file__).parents[3] / "opa/data.json").read_text("utf-8"))
    assert data["gateway"]["roles"].keys() == users.BUNDLED_ROLES
