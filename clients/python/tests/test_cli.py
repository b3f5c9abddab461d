"""``kb``: what it sends, keeps, prints and ends with. Its terminal is tried before a gateway."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import httpx
import pytest

from knowledge_base import errors
from knowledge_base.cli import exits, main
from knowledge_base.cli.completion import words
from knowledge_base.cli.exits import code_of, words_of
from knowledge_base.cli.output import harmless, one_line, size
from knowledge_base.cli.parser import make_parser

from .command_line import URL, Reads, folder, kb, logged_in, said, typed
from .fake_server import FakeServer, refused, told

__all__ = ["folder", "kb", "logged_in", "said"]


# --- logging in -----------------------------------------------------------------------------------

TOKEN = {
    "access_token": "new-token",
    "token_type": "Bearer",
    "expires_in": 60,
    "expires_at": "2027-01-01T00:00:00Z",
}
LISTED: dict[str, Any] = {"keys": []}


def log_in(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "secret\n")
    server.answers = [told(200, TOKEN)]
    assert main(["login", URL, "-u", "alice", "--password-stdin"]) == exits.OK


def test_a_login_is_kept_for_its_owner_alone(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: Reads
) -> None:
    """And sent to the one that was logged in to, and to no other."""
    log_in(server, monkeypatch)
    kept = tmp_path / "config" / "login.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert "secret" not in json.loads(kept.read_text("utf-8")).values()
    assert "new-token" not in "".join(said())
    server.usual = lambda request: told(200, LISTED)
    assert main(["keys", "ls"]) == exits.OK
    assert server.requests[-1].headers["authorization"] == "Bearer new-token"
    sent = len(server.requests)
    assert main(["--url", "http://other.test", "keys", "ls"]) == exits.NOT_ALLOWED
    assert len(server.requests) == sent


def test_a_keyring_is_used_where_there_is_one(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then no file has the token."""
    ring: dict[tuple[str, str], str] = {}
    fail = types.SimpleNamespace(Keyring=type("Keyring", (), {}))
    monkeypatch.setitem(sys.modules, "keyring.backends", types.SimpleNamespace(fail=fail))
    package = types.SimpleNamespace(
        get_keyring=lambda: object(),
        set_password=lambda of, url, text: ring.__setitem__((of, url), text),
        get_password=lambda of, url: ring.get((of, url)),
        delete_password=lambda of, url: ring.pop((of, url)),
    )
    monkeypatch.setitem(sys.modules, "keyring", package)
    log_in(server, monkeypatch)
    assert ring == {("knowledge-base", URL): "new-token"}
    assert "new-token" not in (tmp_path / "config" / "login.json").read_text("utf-8")
    server.answers = [told(200, LISTED), told(204)]
    assert main(["keys", "ls"]) == exits.OK
    assert server.requests[-1].headers["authorization"] == "Bearer new-token"
    assert main(["logout"]) == exits.OK
    assert ring == {}


@pytest.mark.parametrize("ended", [True, False])
def test_a_logout_forgets_in_any_case(
    ended: bool, server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also a token that had ended, or where nobody answers; then it says so."""
    log_in(server, monkeypatch)
    server.answers = [refused(401, "TOKEN_EXPIRED") if ended else httpx.ConnectError("no")]
    assert main(["logout", "--all"]) == (exits.OK if ended else exits.LATER)
    assert not (tmp_path / "config" / "login.json").exists()


def test_a_damaged_file_is_named(tmp_path: Path, said: Reads) -> None:
    """With what to do about it."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "login.json").write_text("{", "utf-8")
    assert main(["whoami"]) == exits.FAILED
    assert "kb login" in said()[1]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">/dev/full"])
def test_streams_that_are_closed_or_full_are_no_traceback(closed: str) -> None:
    """As of a job that nobody looks at; a full disk is told."""
    command = f"{sys.executable} -m knowledge_base.cli completion bash {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == (exits.FAILED if "full" in closed else exits.OK), done.stderr
    assert "Traceback" not in done.stderr
    assert ("No space left" in done.stderr) == ("full" in closed)


def test_letters_that_a_stream_cannot_spell_are_escaped() -> None:
    """An old locale is no reason to stop in the middle of an answer."""
    script = (
        "import importlib; importlib.import_module('knowledge_base.cli.main')._open_streams();"
        "print('Gr\\u00fcner \\u8336')"
    )
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=env)
    assert done.stdout == "Gr\u00fcner \\u8336\n".encode("latin-1")


# --- the rest -------------------------------------------------------------------------------------


def test_a_secret_is_alone_on_stdout(logged_in: None, server: FakeServer, said: Reads) -> None:
    """``KEY=$(kb keys create …)``; a listing has none."""
    key = {
        "key_id": "k",
        "name": "n",
        "owner": "a",
        "scopes": ["query:run"],
        "created_at": "2027-01-01T00:00:00Z",
        "expires_at": None,
        "revoked_at": None,
    }
    server.answers = [told(201, {**key, "secret": "kbg_secret"}), told(200, {"keys": [key]})]
    assert main(["keys", "create", "n", "-s", "query:run"]) == exits.OK
    out, err = said()
    assert out == "kbg_secret\n"
    assert "kbg_secret" not in err
    assert main(["keys", "ls", "--json"]) == exits.OK
    assert "secret" not in json.loads(said()[0])


def test_what_was_used_is_told_in_lines(logged_in: None, server: FakeServer, said: Reads) -> None:
    """For people and for programs the same."""
    quota = {"quota": "q", "per": "subject", "limit": 9, "used": 2, "left": 7}
    used = {"per": "subject", "period": "day", "total_tokens": 12, "prompt_tokens": 10}
    times = {"begins_at": "2027-01-01T00:00:00Z", "ends_at": "2027-01-02T00:00:00Z"}
    report = {
        "tenant": "t",
        "subject": "a",
        "counted": True,
        "limits": [],
        "keys": [],
        "tokens": [{**used, **times, "completion_tokens": 2, "estimated_tokens": 0}],
        "quotas": [{**quota, "renews_at": "2027-01-02T00:00:00Z"}],
    }
    server.answers = [told(200, report)]
    assert main(["usage"]) == exits.OK
    first, second = said()[0].splitlines()
    assert first == "subject\tday\t12\t10\t2\t0"
    assert second.startswith("q\tsubject\t7\t9\t")


def test_an_address_is_the_same_with_a_slash_at_its_end(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is logged in to one is logged in to the other."""
    log_in(server, monkeypatch)
    server.usual = lambda request: told(200, LISTED)
    assert main(["--url", f"{URL}/", "keys", "ls"]) == exits.OK
    assert server.requests[-1].headers["authorization"] == "Bearer new-token"


def test_what_can_be_no_id_is_a_wrong_command_line(
    logged_in: None, server: FakeServer, said: Reads
) -> None:
    """Nothing is sent for it."""
    for line in (["docs", "rm", "-y", ".."], ["docs", "show", ""], ["keys", "revoke", "."]):
        with pytest.raises(SystemExit, match="2"):
            main(line)
        assert "is no id" in said()[1]
    assert server.requests == []


@pytest.mark.parametrize(
    "data",
    ['{"n":NaN}', '{"n":1e999}', "no JSON", "[" * 100_000],
    ids=["NaN", "infinite", "text", "deep"],
)
def test_what_a_program_reads_is_json(
    data: str, logged_in: None, server: FakeServer, said: Reads
) -> None:
    """Also where an event's data is none: then it is told as the text that it is."""
    headers = {"Content-Type": "text/event-stream"}
    events = f"event: odd\ndata: {data}\n\nevent: done\ndata: {{}}\n\n"
    server.answers = [httpx.Response(200, headers=headers, text=events)]
    assert main(["ask", "--json", "tea?"]) == exits.OK
    lines = [json.loads(line, parse_constant=pytest.fail) for line in said()[0].splitlines()]
    assert lines[0] == {"event": "odd", "data": data}


def test_json_is_json_in_an_old_locale() -> None:
    """Its escapes are not those of Python."""
    script = "from knowledge_base.cli.output import as_json; print(as_json({'n': 'ü😀'}))"
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=env)
    assert json.loads(done.stdout) == {"n": "ü😀"}


def test_a_question_of_bytes_that_are_no_text_is_refused(logged_in: None) -> None:
    """Not with a traceback."""
    command = [sys.executable, "-m", "knowledge_base.cli", "ask", "-"]
    env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, input=b"\xff\xfe", capture_output=True, check=False, env=env)
    assert (done.returncode, done.stdout) == (exits.USAGE, b"")
    assert done.stderr.startswith(b"kb: The question is no text")


READY = {"status": "degraded", "dependencies": {"core": "ok", "redis": "down"}}


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ([httpx.ConnectError("refused")], 5, "No connection"),
        ([told(200, {}, Date="Fri, 01 Jan 2021 00:00:00 GMT")], 1, "apart"),
        (
            [
                told(200, {}),
                told(200, READY),
                refused(401, "UNAUTHENTICATED"),
            ],
            3,
            "redis is down",
        ),
        ([told(200, {}), told(503, {**READY, "status": "starting"})], 5, "now: starting, redis is"),
        ([told(200, {}), told(200, ["hello"])], 1, "no knowledge base"),
        ([told(200, {}, Date="Fri, 01 Jan 2021 00:00:00 -0000")], 1, "apart"),
    ],
    ids=["away", "clock", "degraded", "starting", "another server", "clock without a zone"],
)
def test_the_doctor_says_what_is_wrong(
    answers: list[Any], code: int, words: str, logged_in: None, server: FakeServer, said: Reads
) -> None:
    """And what was right before it."""
    server.answers = answers
    assert main(["doctor"]) == code
    assert words in said()[0]


def test_without_rich_it_says_what_to_install(
    logged_in: None, server: FakeServer, monkeypatch: pytest.MonkeyPatch, said: Reads
) -> None:
    """The program is there with the library alone; pipes need no more."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr("knowledge_base.cli.output.is_terminal", lambda stream: True)
    server.usual = lambda request: told(200, LISTED)
    assert main(["keys", "ls"]) == exits.FAILED
    assert "[cli]" in said()[1]


def test_the_library_does_not_load_the_command_line() -> None:
    """A program pays for what it uses."""
    script = "import knowledge_base, sys; print('knowledge_base.cli' in sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_command_has_its_words() -> None:
    """A line in its group's list, and one for each of its options."""
    for path, known in words(make_parser()):
        assert all(about for word, about in known if word not in ("bash", "zsh", "fish")), path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kb do", {"docs", "doctor"}),
        ("kb docs ", {"ls", "show", "open", "rm", "-h", "--help"}),
        ("kb docs ls --j", {"--json"}),
        ("kb completion f", {"fish"}),
        ("kb upload pap", {"papers"}),
    ],
)
def test_bash_completes(line: str, expected: set[str], folder: Path, said: Reads) -> None:
    """Commands, options, and files where there is nothing else."""
    assert main(["completion", "bash"]) == exits.OK
    parts = line.split(" ")
    script = (
        f"{said()[0]}\nCOMP_WORDS=({' '.join(repr(one) for one in parts)})\n"
        f"COMP_CWORD={len(parts) - 1}\n_kb\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, cwd=folder.parent
    )
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_every_command(shell: str, said: Reads) -> None:
    """Zsh by bash's, fish by a line for each word."""
    assert main(["completion", shell]) == exits.OK
    out = said()[0]
    assert all(name in out for name in ("upload", "doctor", "rotate", "json"))


def test_failures_have_the_codes_that_help_tells() -> None:
    """And words for people."""
    expected = {
        "FORBIDDEN": 3,
        "CREDENTIAL_REVOKED": 3,
        "NOT_FOUND": 4,
        "RATE_LIMITED": 5,
        "DRAINING": 5,
        "VALIDATION_ERROR": 1,
        "INTERNAL": 1,
    }
    for code, number in expected.items():
        assert code_of(errors.api_error(code, "So it is.", retry_after=3.0)) == number
    assert "3 s" in words_of(errors.api_error("RATE_LIMITED", "No.", retry_after=3.0))
    assert code_of(errors.AnswerIncomplete("cut")) == 1


def test_what_a_document_says_does_nothing_to_a_terminal() -> None:
    """Its controls are taken away; letters of all scripts, lines and tabs stay."""
    assert harmless("a\x1b]0;x\x07b\u009b1m\r\n\tü茶😀") == "a]0;xb1m\n\tü茶😀"
    assert one_line("a\tb\nc") == "a b c"
    assert (size(0), size(1023), size(1536), size(5 * 2**30)) == (
        *("0 B", "1023 B", "1.5 KiB"),
        "5.0 GiB",
    )
