"""``gateway init``: what it writes, and that it never takes away what is there."""

from __future__ import annotations

import os
import socket
import stat
from functools import partial
from pathlib import Path

import pytest

from devstack.core.settings import read_settings
from gateway.commands import cli, init, init_file, init_next
from gateway.settings import SPECS, read
from gateway.settings.env_file import read_env_file


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands are called."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(path: Path = Path(".env")) -> dict[str, str]:
    found, faults = read_env_file(path)
    assert faults == []
    return found


def test_it_writes_settings_that_the_gateway_and_the_core_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is left to fill in, and the file is its owner's alone."""
    assert cli.main(["init"], {}) == 0
    assert stat.S_IMODE(Path(".env").stat().st_mode) == 0o600
    found = values()
    assert read(SPECS, found, None).faults == []
    for component in ("core", "worker"):
        assert read_settings(found, component)
    assert found["CORE_TOKEN"] == found["GATEWAY_CORE_TOKEN"]
    assert found["ROOT_SECRET_KEY"] == found["GATEWAY_S3_SECRET_KEY"]
    assert found["CORE_S3_ACCESS_KEY"] != found["GATEWAY_S3_ACCESS_KEY"]
    said = capsys.readouterr().out
    secrets = [text for name, text in found.items() if "SECRET" in name or "TOKEN" in name]
    assert not any(secret in said for secret in [*secrets, found["GATEWAY_ADMIN_PASSWORD"]])
    assert "as admin" in said


def test_secrets_are_new_each_time() -> None:
    """Two machines share none."""
    first, second = init_file.chosen({}), init_file.chosen({})
    same = {name for name in first if first[name] == second[name]}
    assert not {name for name in same if "SECRET" in name or "PASSWORD" in name}
    assert len(first["GATEWAY_JWT_SECRET"]) >= 43


def test_all_its_values_are_plain_words() -> None:
    """A shell, Compose and `docker run --env-file` read them alike: none needs a quotation mark."""
    lines = init_file.contents(init_file.chosen({})).decode().splitlines()
    assert not [line for line in lines if not line.startswith("#") and set(line) & set("'\"$ ")]


@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_is_there_stays(
    link: bool, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even a link to nowhere: it was put there by somebody."""
    if link:
        (here / ".env").symlink_to("nowhere")
    else:
        (here / ".env").write_text("PRECIOUS=1\n")
    assert cli.main(["init"], {}) == 1
    assert ".env is there already and stays as it is" in capsys.readouterr().err
    assert sorted(os.listdir()) == [".env"]
    assert link or (here / ".env").read_text() == "PRECIOUS=1\n"


def test_a_file_that_comes_meanwhile_stays(here: Path) -> None:
    """Two who begin at once: the second is refused, and no half of a file is left."""
    (here / ".env").write_text("PRECIOUS=1\n")
    with pytest.raises(init_file.Refused, match="is there already"):
        init.write(Path(".env"), b"OTHER=1\n", force=False)
    assert (here / ".env").read_text() == "PRECIOUS=1\n"
    assert os.listdir() == [".env"]


def test_force_replaces_it(here: Path) -> None:
    """By a file that is whole and closed to others, whatever the old one was."""
    (here / ".env").write_text("OLD=1\n")
    (here / ".env").chmod(0o644)
    assert cli.main(["init", "--force"], {}) == 0
    assert "OLD" not in values()
    assert stat.S_IMODE((here / ".env").stat().st_mode) == 0o600


@pytest.mark.parametrize("force", [False, True])
def test_a_full_disk_leaves_no_half_of_a_file(
    force: bool, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And with ``--force`` the old one as it was."""
    if force:
        (here / ".env").write_text("OLD=1\n")
    # Linux has a device that is always full.
    full = partial(open, "/dev/full")
    monkeypatch.setattr(init, "open", lambda _, mode: full(mode), raising=False)
    assert cli.main(["init", *["--force"] * force], {}) == 1
    assert ".env cannot be written: No space left on device" in capsys.readouterr().err
    assert os.listdir() == [".env"] * force
    assert not force or (here / ".env").read_text() == "OLD=1\n"


def test_a_value_that_is_no_text_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Latin-1 in an old shell's settings: a sentence and no traceback."""
    assert cli.main(["init"], {"CORE_S3_SECRET_KEY": "caf\udce9"}) == 1
    assert "not in UTF-8" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence, and with 1."""
    assert cli.main(["init", "--file", "nowhere/.env"], {}) == 1
    assert "nowhere/.env cannot be written: No such file" in capsys.readouterr().err


def test_what_the_environment_has_is_taken_over() -> None:
    """A secret that is known already, an address elsewhere, a value that needs quotation marks."""
    given = {
        "GATEWAY_SERVICES_CORE": "http://core:8100",
        "GATEWAY_ADMIN_PASSWORD": "it's $ecret; twice",
        "GATEWAY_PUBLIC_URL": "https://kb.example.com",
    }
    assert cli.main(["init"], given) == 0
    found = values()
    assert given.items() <= found.items()
    assert found["GATEWAY_SERVER_PORT"] == "8080"


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://127.0.0.1:9000", "9000"),
        ("http://localhost", "80"),
        ("https://kb.example.com:8443", "8080"),
    ],
)
def test_it_listens_where_browsers_of_this_machine_look(url: str, port: str) -> None:
    """Behind a proxy the port of the address is the proxy's."""
    assert init_file.chosen({"GATEWAY_PUBLIC_URL": url})["GATEWAY_SERVER_PORT"] == port


def test_what_the_gateway_would_refuse_is_not_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the name of the setting."""
    assert cli.main(["init"], {"GATEWAY_SERVICES_CORE": "core"}) == 1
    assert "GATEWAY_SERVICES_CORE: found 'core', expected" in capsys.readouterr().err
    assert os.listdir() == []


@pytest.mark.parametrize(("left", "status"), [(KeyboardInterrupt, 130), (EOFError, 1)])
def test_leaving_the_questions_writes_nothing(
    left: type[BaseException], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not half of the answers, and no secrets for a gateway that nobody wanted."""

    def ask(_prompt: str) -> str:
        raise left

    monkeypatch.setattr(init, "_is_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", ask)
    assert cli.main(["init"], {}) == status
    assert os.listdir() == []


def test_it_tells_what_is_missing_in_the_order_of_doing() -> None:
    """Who listens is not missing; of the others each has its setting and a way to get it."""
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("", 0)) as gone:
        port, closed = there.getsockname()[1], gone.getsockname()[1]
        gone.close()
        found = init_file.chosen(
            {
                "GATEWAY_SERVICES_TEMPORAL": f"127.0.0.1:{port}",
                "GATEWAY_S3_ENDPOINT": f"http://127.0.0.1:{closed}",
                "GATEWAY_SERVICES_CORE": f"http://127.0.0.1:{closed},http://127.0.0.1:{port}",
            }
        )
        said = "\n".join(init_next.lines(Path(".env"), found))
    assert "Temporal" not in said
    store, core = said.index("1. an object store"), said.index("2. a core")
    assert store < core < said.index("gateway setup") < said.index("check --connect")
    assert "(GATEWAY_S3_ENDPOINT)" in said
