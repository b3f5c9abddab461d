"""The ``gateway`` command: exit codes, help, and that options reach the settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.commands import cli
from gateway.process import serving
from gateway.settings import Settings

ENVIRON = {
    "GATEWAY_JWT_SECRET": "s3cr3t-" * 8,
    "GATEWAY_SERVICES_CORE": "http://127.0.0.1:9",
    "GATEWAY_CORE_TOKEN": "core-token-of-the-test",
    "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:9",
    "GATEWAY_S3_ENDPOINT": "http://127.0.0.1:9",
    "GATEWAY_S3_BUCKET": "documents",
    "GATEWAY_S3_KEYS_BUCKET": "gateway-keys",
    "GATEWAY_S3_ACCESS_KEY": "access-key-of-the-test",
    "GATEWAY_S3_SECRET_KEY": "secret-key-of-the-test",
    "GATEWAY_USERS_FILE": "/nowhere/users.json",
}
# An environment a server can start with: the admin stands in for the users file.
SERVABLE = {name: text for name, text in ENVIRON.items() if name != "GATEWAY_USERS_FILE"} | {
    "GATEWAY_ADMIN_USERNAME": "admin",
    "GATEWAY_ADMIN_PASSWORD": "the admin's password",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, where a developer may have a ``.env`` of his own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings ``serve`` was called with, in place of a server."""
    calls: list[Settings] = []
    monkeypatch.setattr(serving, "serve", lambda settings, load: calls.append(settings) or 0)
    return calls


def test_check_of_good_settings_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to mend: code 0, and it says so."""
    assert cli.main(["check"], SERVABLE) == 0
    assert "The settings are good." in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "serve"])
def test_without_its_users_file_both_say_so(
    command: str, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that calls good what cannot start is worse than none."""
    assert cli.main([command], ENVIRON) == 1
    said = "".join(capsys.readouterr())
    assert "GATEWAY_USERS_FILE: expected a file of accounts (/nowhere/users.json: cannot" in said
    assert served == []


def test_check_of_bad_settings_ends_with_1_and_shows_all_faults(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every fault in one run."""
    assert cli.main(["check"], {"GATEWAY_SERVER_PORT": "http"}) == 1
    out = capsys.readouterr().out
    assert "GATEWAY_SERVER_PORT: found 'http'" in out
    assert "GATEWAY_JWT_SECRET: expected to be set" in out


def test_check_connect_names_each_dependency_that_does_not_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody listens on port 9: four are down, the embedded policy answers, the users are gone."""
    assert cli.main(["check", "--connect"], ENVIRON) == 1
    said = dict(
        line.split(maxsplit=1)
        for line in capsys.readouterr().out.partition("\nDependencies\n")[2].splitlines()
    )
    assert set(said) == {"users", "core", "policy", "storage", "keys", "revocations", "temporal"}
    assert said["policy"].startswith("ok")
    assert all(text.startswith("FAILED") for name, text in said.items() if name != "policy")


def test_serve_takes_its_options_over_the_environment(served: list[Settings]) -> None:
    """What is typed wins over what is exported."""
    arguments = ["serve", "--workers", "3", "--host", "0.0.0.0", "--port", "8081"]
    assert cli.main(arguments, {**SERVABLE, "GATEWAY_SERVER_PORT": "1"}) == 0
    settings = served[0]
    assert (settings.server_workers, settings.server_port) == (3, 8081)
    assert settings.server_host == "0.0.0.0"


def test_serve_reads_the_config_file(served: list[Settings], tmp_path: Path) -> None:
    """``--config`` names a TOML file for development."""
    config = tmp_path / "dev.toml"
    config.write_text("server_port = 8082")
    assert cli.main(["serve", "--config", str(config)], SERVABLE) == 0
    assert served[0].server_port == 8082


def test_serve_with_faults_does_not_start(
    served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 1, every fault on stderr, no server."""
    assert cli.main(["serve", "--workers", "many"], {}) == 1
    err = capsys.readouterr().err
    assert "GATEWAY_SERVER_WORKERS: found 'many'" in err
    assert "GATEWAY_CORE_TOKEN" in err
    assert served == []


def test_serve_without_its_users_file_says_so_in_a_line(
    served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """Told before any worker is started, which could only die of it."""
    assert cli.main(["serve"], ENVIRON) == 1
    assert "/nowhere/users.json: cannot be read" in capsys.readouterr().err
    assert served == []


def test_serve_on_a_taken_address_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A taken port is told in a line, not in a traceback."""

    def taken(_: Settings, _load: object) -> int:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(serving, "serve", taken)
    assert cli.main(["serve"], SERVABLE) == 1
    assert "cannot listen on 127.0.0.1:8080" in capsys.readouterr().err


def test_serve_loads_nothing_for_a_developers_terminal() -> None:
    """An address of nobody's, so that it ends once all is imported; rich alone takes megabytes."""
    code = (
        "import os, sys; from gateway.commands import cli; cli.main(['serve'], os.environ); "
        "print('gateway.wiring.services' in sys.modules, "
        "*{'rich', 'click', 'pygments', 'attr', 'pydantic.main'} & {*sys.modules})"
    )
    environ = SERVABLE | {"GATEWAY_SERVER_HOST": "192.0.2.1"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert "cannot listen on 192.0.2.1" in done.stderr
    assert done.stdout.split() == ["True"]


def test_setup_without_a_store_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is not there is a fault of the surroundings."""
    assert cli.main(["setup"], ENVIRON) == 1
    assert "The buckets are not ready" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["serve", "--nonsense"], ["user"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """argparse's own code for it."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments, ENVIRON)
    assert caught.value.code == 2
    assert "usage: gateway" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "check", "setup"])
def test_help_of_a_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help is something to copy from."""
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"], {})
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert f"gateway {command} " in out.partition("examples:")[2]


def test_demo_without_the_development_stack_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway for production has no development stack: that is not an error in it."""
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda _: None)
    assert cli.main(["demo", "--once"], {}) == 2
    assert "pip install '.[devstack]'" in capsys.readouterr().err


def test_module_is_the_command() -> None:
    """``python -m gateway`` works where the script is not on PATH."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={name: value for name, value in os.environ.items() if name[:8] != "GATEWAY_"},
    )
    assert done.stdout == f"gateway {__version__}\n"
