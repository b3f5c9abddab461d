"""``kb``: what it sends, keeps, prints and ends with. Its terminal is tried before a gateway."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from knowledge_base import KnowledgeBase, Retries, errors
from knowledge_base.cli import account, exits, main
from knowledge_base.cli.completion import words
from knowledge_base.cli.exits import code_of, words_of
from knowledge_base.cli.output import harmless, one_line, size
from knowledge_base.cli.parser import make_parser

from .fake_server import ID, FakeServer, FakeStore, refused, told

URL = "http://kb.test"


@pytest.fixture(autouse=True)
def kb(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is logged in, and the server is the one in memory."""
    for name in ("KB_URL", "KB_API_KEY", "KB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setitem(sys.modules, "keyring", None)

    def connect(url: str, secret: str | None) -> KnowledgeBase:
        transport = httpx.MockTransport(server)
        return KnowledgeBase(url, token=secret, transport=transport, retries=Retries(times=0))

    monkeypatch.setattr(account, "connect", connect)


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_URL", URL)
    monkeypatch.setenv("KB_TOKEN", "a-token")


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What stdin has, which is no terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


Reads = Callable[[], tuple[str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Reads:
    def read() -> tuple[str, str]:
        found = capsys.readouterr()
        return found.out, found.err

    return read


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


# --- uploading ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "papers"
    (found / "deep").mkdir(parents=True)
    for name, text in (("a.txt", "one"), ("b.MD", "two"), ("deep/c.pdf", "three" * 20)):
        (found / name).write_text(text, "utf-8")
    (found / "d.exe").write_text("not taken", "utf-8")
    (found / ".e.txt").write_text("hidden", "utf-8")
    return found


def documents(*digests: str) -> httpx.Response:
    about = {
        "document_id": ID,
        "filename": "a.txt",
        "content_type": "text/plain",
        "size": 3,
        "created_at": "2027-01-01T00:00:00Z",
        "progress": None,
        "error": None,
    }
    found = [{**about, "status": "indexed", "sha256": digest} for digest in digests]
    return told(200, {"documents": found, "next_cursor": None})


ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # of "one"


def test_a_folder_is_uploaded_without_what_is_there(
    logged_in: None, server: FakeServer, folder: Path, said: Reads
) -> None:
    """Known types alone, none that is hidden; a line for each, and one for all."""
    store = FakeStore(in_parts=False)
    server.usual = lambda request: documents(ONE) if request.method == "GET" else store(request)
    assert main(["upload", str(folder)]) == exits.OK
    out, err = said()
    lines = {
        Path(path).name: (status, found) for status, found, path in map(split, out.splitlines())
    }
    assert lines == {
        "a.txt": ("skipped", ID),
        "b.MD": ("uploaded", ID),
        "c.pdf": ("uploaded", ID),
    }
    assert err == "2 uploaded, 1 skipped (already there)\n"
    assert main(["upload", "--again", "--json", str(folder / "a.txt")]) == exits.OK
    assert json.loads(said()[0]) == {
        "path": str(folder / "a.txt"),
        "status": "uploaded",
        "document_id": ID,
    }


def split(line: str) -> list[str]:
    return line.split("\t")


def test_an_upload_that_stopped_goes_on(
    logged_in: None, server: FakeServer, folder: Path, said: Reads, tmp_path: Path
) -> None:
    """The same command again; how far it was is kept until it is done."""
    store = FakeStore(in_parts=True)
    server.usual = lambda request: documents() if request.method == "GET" else store(request)
    store.fails = lambda n: told(503) if n == 6 else None
    command = ["upload", "--jobs", "1", str(folder / "deep")]
    assert main(command) == exits.FAILED
    assert "goes on where it stopped" in said()[1]
    (kept,) = (tmp_path / "config" / "uploads").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    store.fails, store.signed = lambda n: None, []
    assert main(command) == exits.OK
    assert len(store.announced) == 1
    assert store.whole == b"three" * 20
    assert list((tmp_path / "config" / "uploads").iterdir()) == []


@pytest.mark.parametrize(("code", "expected"), [("FORBIDDEN", 3), ("QUOTA_EXCEEDED", 5)])
def test_one_that_fails_does_not_stop_the_others(
    code: str, expected: int, logged_in: None, server: FakeServer, folder: Path, said: Reads
) -> None:
    """Who may not list sends all; the exit code tells what was wrong where it was one thing."""
    store = FakeStore(in_parts=False)

    def usual(request: httpx.Request) -> Any:
        if request.method == "GET":
            return refused(403, "FORBIDDEN")
        fails = b"b.MD" in request.content
        return refused(429 if code == "QUOTA_EXCEEDED" else 403, code) if fails else store(request)

    server.usual = usual
    assert main(["upload", str(folder)]) == expected
    out, err = said()
    assert sorted(line.split("\t")[0] for line in out.splitlines()) == ["failed"] + ["uploaded"] * 2
    assert f"b.MD: {code}" in err


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


READY = {"status": "degraded", "dependencies": {"core": "ok", "redis": "down"}}


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ([httpx.ConnectError("refused")], 5, "No connection"),
        ([told(200, {}, Date="Fri, 01 Jan 2021 00:00:00 GMT")], 1, "apart"),
        (
            [
                told(200, {}),
                told(200, {"dependencies": {"redis": "down"}}),
                refused(401, "UNAUTHENTICATED"),
            ],
            3,
            "redis is down",
        ),
    ],
    ids=["away", "clock", "degraded"],
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
