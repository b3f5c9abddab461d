"""Where commands take settings from: a ``.env`` counts alone, or by name, and never by surprise."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.commands import cli, init_file
from gateway.process import serving
from gateway.settings import Settings

GOOD = init_file.chosen({})
ENVIRON = {name: text for name, text in GOOD.items() if name.startswith("GATEWAY_")}
Load = Callable[[], Settings]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Load]]:
    """What ``serve`` was called with, in place of a server."""
    calls: list[tuple[Settings, Load]] = []
    monkeypatch.setattr(
        serving, "serve", lambda settings, load: calls.append((settings, load)) or 0
    )
    return calls


def write(path: Path, **changed: str) -> None:
    path.write_bytes(init_file.contents(GOOD | changed))


def test_init_then_check_says_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    """Two commands, and a person knows how to go on."""
    assert cli.main(["init"], {}) == 0
    assert cli.main(["check"], {}) == 0
    said = capsys.readouterr().out
    assert "[file .env]" in said
    assert said.rstrip().endswith("gateway serve             serves, the console among it")


def test_serve_takes_the_file_of_its_folder_and_says_so(
    served: list[tuple[Settings, Load]], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read again when the gateway is told to reload; options and environment override it."""
    write(here / ".env", GATEWAY_SERVER_PORT="8123", GATEWAY_ADMIN_USERNAME="anna")
    assert cli.main(["serve", "--host", "127.0.0.2"], {"GATEWAY_SERVER_PORT": "8124"}) == 0
    assert f"settings are read from {here / '.env'}" in capsys.readouterr().err
    [(settings, load)] = served
    assert (settings.server_host, settings.server_port) == ("127.0.0.2", 8124)
    assert settings.admin_username == "anna"
    write(here / ".env", GATEWAY_ADMIN_USERNAME="berta")
    assert load().admin_username == "berta"


@pytest.mark.parametrize("given", [ENVIRON, {"GATEWAY_JWT_SECRET_FILE": "secret"}])
def test_a_file_that_lies_there_adds_nothing_to_a_configured_environment(
    given: dict[str, str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All or nothing: a container's settings are its own, and a missing one stays missing."""
    write(here / ".env", GATEWAY_SERVER_PORT="8123")
    status = cli.main(["check"], given)
    said = capsys.readouterr().out
    assert "[file .env]" not in said
    # Who misses something is told where it may be.
    told = said.endswith(".env in this folder was not read; '--env-file .env' reads it, too.\n")
    assert told is (status == 1)


def test_a_toml_file_that_is_named_stands_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who names the one does not mean the other."""
    write(here / ".env")
    (here / "dev.toml").write_text("server_port = 8123")
    cli.main(["check", "--config", "dev.toml"], {})
    assert "[file .env]" not in capsys.readouterr().out


def test_a_named_file_counts_beside_the_environment(
    served: list[tuple[Settings, Load]], here: Path
) -> None:
    """The environment comes first."""
    write(here / "other.env", GATEWAY_SERVER_PORT="8123", GATEWAY_ADMIN_USERNAME="anna")
    environ = {**ENVIRON, "GATEWAY_ADMIN_USERNAME": "berta"}
    del environ["GATEWAY_SERVER_PORT"]
    assert cli.main(["serve", "--env-file", "other.env"], environ) == 0
    assert (served[0][0].server_port, served[0][0].admin_username) == (8123, "berta")


def test_somebody_elses_file_is_not_read(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder that all can write to, such as /tmp, anybody could name the core."""
    write(here / ".env")
    if os.geteuid() == 0:
        os.chown(here / ".env", 65533, 65533)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65533)
    assert cli.main(["check"], {}) == 1
    said = capsys.readouterr().out
    assert "[file .env]" not in said
    assert said.endswith("'--env-file .env' reads it, too.\n")


def test_nothing_set_is_told_in_five_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a list of faults: what to do next. ``check`` has both."""
    # The image's own setting does not make it something.
    assert cli.main(["serve"], {"GATEWAY_SERVER_HOST": "0.0.0.0"}) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert [line.split()[1] for line in lines[1:4]] == ["demo", "init", "check"]
    assert cli.main(["check"], {}) == 1
    said = capsys.readouterr().out
    assert "GATEWAY_JWT_SECRET: expected to be set" in said
    assert said.splitlines()[-5:] == lines


@pytest.mark.parametrize("command", ["serve", "setup"])
def test_something_set_is_answered_with_what_is_wrong(
    command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a set-up is not a beginning: every fault is told."""
    environ = {"GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:7233"}
    assert cli.main([command], environ) == 1
    said = capsys.readouterr().err
    assert "GATEWAY_JWT_SECRET: expected to be set" in said
    assert "gateway init" not in said
    assert ".env" not in said
    write(here / ".env")
    assert cli.main([command], environ) == 1
    assert "'--env-file .env' reads it, too." in capsys.readouterr().err


def test_accounts_are_in_the_file_that_the_env_file_names(here: Path) -> None:
    """``gateway user`` needs no other setting, and finds this one where the others are."""
    write(here / ".env")
    with (here / ".env").open("a") as file:
        file.write("GATEWAY_USERS_FILE=users.json\n")
    assert cli.main(["user", "list"], {}) == 1
    (here / "users.json").write_text('{"users": {}}')
    assert cli.main(["user", "list"], {"GATEWAY_USERS_FILE": "elsewhere.json"}) == 1
