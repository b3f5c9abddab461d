"""Files of ``NAME=value`` lines: read as a shell reads them, or refused."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import SPECS, read
from gateway.settings.env_file import line, read_env_file

# What is after the name, and what it stands for.
VALUES = {
    "plain": "plain",
    "": "",
    "''": "",
    "a=b": "a=b",
    "a#b": "a#b",
    "http://127.0.0.1:8080/x?y": "http://127.0.0.1:8080/x?y",
    "plain   # a comment": "plain",
    "'query:run 60/m; *:* 9/m'": "query:run 60/m; *:* 9/m",
    "'$argon2id$v=19$m=1'": "$argon2id$v=19$m=1",
    '"it\'s \\"so\\" for 5 \\$"': 'it\'s "so" for 5 $',
    "'two words' # a comment": "two words",
}
# A shell would do something with each that nobody meant; Compose would do something else.
REFUSED = [
    "two words",
    "$HOME",
    '"$HOME"',
    "`id`",
    "a;b",
    "a&b",
    "~/x",
    "'open",
    '"open',
    "a'b'",
    " x",
]


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / ".env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("text", VALUES)
def test_a_value_is_what_a_shell_takes_it_for(text: str, tmp_path: Path) -> None:
    """`. ./.env` and the gateway itself never read two different values."""
    path = written(tmp_path, f"NAME={text}\n")
    assert read_env_file(path) == ({"NAME": VALUES[text]}, [])
    asked = f'. {shlex.quote(str(path))}; printf %s "$NAME"'
    assert subprocess.check_output(["sh", "-c", asked], text=True) == VALUES[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_a_shell_would_expand_or_split_is_a_fault(text: str, tmp_path: Path) -> None:
    """The line is named, and its text is not told: it may be a secret."""
    values, [fault] = read_env_file(written(tmp_path, f"# first\n\nGOOD=1\nNAME={text}\n"))
    assert values == {"GOOD": "1"}
    assert fault.name == f"{tmp_path / '.env'}, line 4"
    assert (text.strip() or "NAME") not in str(fault).partition("expected")[2]


@given(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    """Whatever the value is, unless it has an end of a line in it."""
    path = written(tmp_path_factory.mktemp("env"), line("NAME", value) + "\n")
    assert read_env_file(path) == ({"NAME": value}, [])


def test_a_value_with_an_end_of_a_line_is_not_written() -> None:
    """It would be two lines, and the second one somebody else's setting."""
    with pytest.raises(ValueError, match="NAME: a value on one line"):
        line("NAME", "a\nGATEWAY_JWT_SECRET=b")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "a file in UTF-8"), (None, "a readable file (No such file or directory)")],
)
def test_a_file_that_cannot_be_read_is_a_fault(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    """In words, beside all other faults."""
    path = tmp_path / ".env" if content is None else written(tmp_path, content)
    values, [fault] = read_env_file(path)
    assert (values, fault.expected) == ({}, said)


def test_marks_of_windows_and_editors_mean_nothing(tmp_path: Path) -> None:
    """A byte order mark at its beginning, CRLF at the end of lines, `export` before a name."""
    path = written(tmp_path, b"\xef\xbb\xbfA=1\r\nexport B='2'\r\n")
    assert read_env_file(path) == ({"A": "1", "B": "2"}, [])


def test_the_environment_comes_first_then_the_file_then_toml(tmp_path: Path) -> None:
    """Names beside the gateway's are others' business; unknown ones of its own are faults."""
    path = written(tmp_path, "GATEWAY_SERVER_PORT=2\nGATEWAY_SERVER_WORKERS=2\nCORE_TOKEN=x\n")
    toml = tmp_path / "dev.toml"
    toml.write_text("server_port = 3\nserver_workers = 3\nlog_level = 'debug'")
    found = read(SPECS, {"GATEWAY_SERVER_PORT": "1"}, toml, path)
    assert [found.values[one] for one in ("server_port", "server_workers")] == [1, 2]
    assert found.values["log_level"] == "debug"
    assert found.origins["server_workers"] == f"file {path}"
    written(tmp_path, "GATEWAY_SERVER_PROT=2\n")
    faults = [str(fault) for fault in read(SPECS, {}, None, path).faults]
    assert any(f"in file {path}; did you mean GATEWAY_SERVER_PORT?" in one for one in faults)


def test_the_file_names_the_toml_file_as_the_environment_does(tmp_path: Path) -> None:
    """A file that was loaded by a shell before means the same when the gateway reads it."""
    toml = tmp_path / "dev.toml"
    toml.write_text("server_port = 3")
    path = written(tmp_path, f"GATEWAY_CONFIG_FILE={toml}\n")
    assert read(SPECS, {}, None, path).values["server_port"] == 3
