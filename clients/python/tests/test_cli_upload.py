"""``kb upload``: which files, which of them again, and what stops it."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import types
from pathlib import Path
from typing import Any

import httpx
import pytest

from knowledge_base.cli import exits, main
from knowledge_base.cli.upload import Bars

from .command_line import Reads, folder, kb, logged_in, said
from .fake_server import ID, FakeServer, FakeStore, refused, told

__all__ = ["folder", "kb", "logged_in", "said"]


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


def test_what_is_no_file_is_not_waited_for(
    logged_in: None, server: FakeServer, folder: Path, said: Reads
) -> None:
    """A pipe in a folder is passed over, a link to nothing is told, the rest is sent."""
    os.mkfifo(folder / "pipe.txt")
    (folder / "link.txt").symlink_to("nowhere")
    (folder / "deep" / "loop").symlink_to("..")
    store = FakeStore(in_parts=False)
    server.usual = lambda request: documents() if request.method == "GET" else store(request)
    assert main(["upload", str(folder)]) == exits.FAILED
    out, err = said()
    found = {Path(path).name: status for status, _, path in map(split, out.splitlines())}
    sent = dict.fromkeys(("a.txt", "b.MD", "c.pdf"), "uploaded")
    assert found == {**sent, "link.txt": "failed"}
    assert f"{folder / 'link.txt'}: No such file or directory\n" in err
    assert main(["upload", str(folder / "pipe.txt")]) == exits.USAGE
    assert "no file" in said()[1]


def test_bars_begin_without_a_file_that_is_gone(folder: Path) -> None:
    """It is told when its turn comes."""
    pytest.importorskip("rich")
    assert Bars([folder / "a.txt", folder / "gone.txt"])._sizes == {
        str(folder / "a.txt"): 3,
        str(folder / "gone.txt"): 0,
    }


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


def test_ctrl_c_stops_what_is_under_way(
    logged_in: None,
    server: FakeServer,
    folder: Path,
    said: Reads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its next block; what waits is not begun, and what was kept is for the next call."""
    stopped = threading.Event()
    events = types.SimpleNamespace(Event=lambda: stopped, Lock=threading.Lock)
    monkeypatch.setattr("knowledge_base.cli.upload.threading", events)
    store = FakeStore(in_parts=True)
    server.usual = lambda request: documents() if request.method == "GET" else store(request)

    def interrupts(n: int) -> None:
        if n == 2:
            os.kill(os.getpid(), signal.SIGINT)
            stopped.wait(60)

    store.fails = interrupts
    assert main(["upload", "--jobs", "1", str(folder / "deep"), str(folder)]) == exits.INTERRUPTED
    assert said()[1].endswith("kb: stopped\n")
    assert len(store.announced) == 1
    assert store.completed is None
