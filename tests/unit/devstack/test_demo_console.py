"""The console's address as the demo gives it: a short token, and a browser only before a person."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO
from urllib.parse import urlsplit

import pytest

from devstack.demo import cli, console
from devstack.demo.screen import Screen
from devstack.environment import Secrets
from gateway.domain.identity import User
from gateway.domain.tokens import TokenSettings, issue, stands_for, verify
from gateway.errors import TokenExpired

SECRET = "0123456789abcdef" * 4
SETTINGS = TokenSettings((SECRET.encode(),), "kb", "kb", 86_400, 30)
ADMIN = User("admin", "main", frozenset({"admin"}), password_hash="hash")
NOW = 1_900_000_000.0


def test_it_stands_for_the_same_person_for_ten_minutes() -> None:
    """The gateway takes it for its own; it has an id of its own, so that it ends by itself."""
    login = issue(ADMIN, NOW, SETTINGS)
    token = console.short_token(login.access_token, SECRET, NOW + 5)
    claims = verify(token, NOW + 5 + 599, SETTINGS)
    assert stands_for(claims, ADMIN, SETTINGS)
    assert (claims.subject, claims.tenant, claims.roles) == ("admin", "main", {"admin"})
    assert claims.token_id != login.token_id
    with pytest.raises(TokenExpired):
        verify(token, NOW + 5 + 600, SETTINGS)


def test_it_stands_where_no_server_is_told_of_it() -> None:
    """Behind the ``#``, and in no need of being escaped there."""
    token = console.short_token(issue(ADMIN, NOW, SETTINGS).access_token, SECRET, NOW)
    parts = urlsplit(console.address("http://127.0.0.1:8080", token))
    assert (parts.path, parts.query, parts.fragment) == ("/console", "", f"token={token}")


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    """The program's end of a pseudo-terminal."""
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as file:
        yield file
    os.close(master)


@pytest.mark.parametrize(
    ("environ", "platform", "opens"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"BROWSER": "firefox"}, "linux", True),
        ({}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}, "darwin", False),
        ({"SSH_TTY": "/dev/pts/1", "DISPLAY": "localhost:10.0"}, "linux", False),
    ],
)
def test_a_browser_is_opened_only_where_somebody_sees_it(
    environ: dict[str, str], platform: str, opens: bool, terminal: TextIO, tmp_path: Path
) -> None:
    """At a terminal of this very machine; never into a pipe or a file."""
    assert console.can_open(terminal, environ, platform) is opens
    with (tmp_path / "out").open("w") as file:
        assert not console.can_open(file, environ, platform)


def test_the_users_browser_is_given_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``BROWSER`` names it. It has neither our terminal nor our end to wait for."""
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"open({str(seen)!r}, 'w').write(repr((sys.argv[1], os.isatty(0), os.getsid(0))))\n"
    )
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    started = console.open_in_browser("http://127.0.0.1:1/console#token=a.b.c")
    assert started is not None
    assert started.wait(60) == 0
    assert eval(seen.read_text()) == ("http://127.0.0.1:1/console#token=a.b.c", False, started.pid)


def test_where_there_is_no_browser_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is on the screen all the same."""
    monkeypatch.setenv("BROWSER", "no-such-browser-anywhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    started = console.open_in_browser("http://127.0.0.1:1/")
    assert started is not None
    assert started.wait(60) in (0, 1)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert console.open_in_browser("http://127.0.0.1:1/") is None


@pytest.mark.parametrize("arguments", [[], ["--no-open"]])
def test_the_address_is_shown_and_opened_unless_told_otherwise(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the name and the password for when the token has ended."""
    opened: list[str] = []
    monkeypatch.setattr(console, "can_open", lambda *_: True)
    monkeypatch.setattr(console, "open_in_browser", opened.append)
    secrets = Secrets()
    stack = SimpleNamespace(base_url="http://127.0.0.1:1", secrets=secrets)
    token = issue(ADMIN, NOW, SETTINGS).access_token
    demo = cli.Demo(cli.make_parser().parse_args(arguments), Screen())
    demo._show_console(stack, SimpleNamespace(token=token))
    said = capsys.readouterr().out
    [address] = re.findall(r"^  (http://127.0.0.1:1/console#token=\S+)$", said, re.MULTILINE)
    assert token not in said
    assert f"then as admin, {secrets.admin_password}" in said
    assert opened == ([] if arguments else [address])
