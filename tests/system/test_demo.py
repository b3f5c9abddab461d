"""``gateway demo`` as a user runs it: a process of its own, real files, real signals."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from devstack.components import Missing, find
from devstack.environment import inherited

from .demo_console import ask_in_the_console

# Not speeds that are asserted: when a test gives up.
ANSWER_LIMIT_S = 240
END_LIMIT_S = 60
PAGES = (
    "This report is about the wetlands of Marrowby.",
    "The heron colony at Marrowby counted 214 nests in the spring of 2023.",
    "Reeds are cut in February, before the birds return.",
)

QUESTION = "How many nests did the heron colony count?"

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for leftovers in /proc"),
]


def pdf(pages: tuple[str, ...]) -> bytes:
    """A PDF with one line of text a page, written by hand."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * n} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    out = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    entries = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{entries}"
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    )
    return out + trailer.encode()


def until(condition: Callable[[], bool], limit_s: float, what: Callable[[], str]) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@dataclass
class Demo:
    """A running demo. ``mark`` is in the environment of all its processes.

    Attributes:
        sockets: the inodes of the sockets that listened on its ports while it ran. A port alone
            says nothing afterwards: another program may have been given it since.
    """

    process: subprocess.Popen[bytes]
    out: Path
    folder: Path
    mark: str
    sockets: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        return self.out.read_text("utf-8")

    def wait_for(self, text: str) -> None:
        """Waits until the demo printed ``text``; fails with all it printed when it ends first."""
        until(
            lambda: text in self.text or self.process.poll() is not None,
            ANSWER_LIMIT_S,
            lambda: f"never said {text!r}:\n{self.text}",
        )
        assert text in self.text, self.text
        ports = self.ports()
        self.sockets |= {inode for port, inode in listening() if port in ports}

    def ends(self, limit_s: float = ANSWER_LIMIT_S) -> int:
        return self.process.wait(limit_s)

    def ports(self) -> set[int]:
        return {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", self.text)}

    def processes(self) -> list[str]:
        """The command lines of what runs with our mark."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (entry / "environ").read_bytes():
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found.append(f"{entry.name}: {command}")
        return found

    def assert_nothing_is_left(self) -> None:
        until(lambda: not self.processes(), END_LIMIT_S, lambda: f"still run: {self.processes()}")
        left = self.folder / "tmp"
        until(lambda: not any(left.iterdir()), END_LIMIT_S, lambda: f"left: {list(left.iterdir())}")
        left_open = [(port, inode) for port, inode in listening() if inode in self.sockets]
        assert left_open == [], f"still listen: {left_open}"


def listening() -> list[tuple[int, str]]:
    """Port and inode of each listening socket of this machine, from ``/proc/net`` (proc(5))."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return [(int(row[1].rpartition(":")[2], 16), row[9]) for row in rows if row[3] == "0A"]


@pytest.fixture
def demo() -> Iterator[Callable[..., Demo]]:
    """Starts ``gateway demo``; whatever the test does, nothing outlives it."""
    started: list[Demo] = []

    def start(*arguments: str | Path, only_python: bool = False) -> Demo:
        # Not pytest's folder: the paths of the sockets below it would grow too long.
        folder = Path(tempfile.mkdtemp(prefix="demo-"))
        for name in ("tmp", "home", "path"):
            (folder / name).mkdir()
        mark = f"demo-{uuid.uuid4()}"
        env = {**inherited(os.environ), "DEMO_MARK": mark, "TMPDIR": str(folder / "tmp")}
        if only_python:
            for name in ("HOME", "XDG_CACHE_HOME"):
                env[name] = str(folder / "home")
            env["PATH"] = str(folder / "path")
        out = folder / "out"
        with out.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "demo", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=folder,
                start_new_session=True,
            )
        started.append(Demo(process, out, folder, mark))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        try:
            one.assert_nothing_is_left()
        finally:
            shutil.rmtree(one.folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _temporal() -> None:
    """Temporal has no stand-in."""
    try:
        find("temporal")
    except Missing as missing:
        if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def kinds(text: str) -> dict[str, str]:
    """From the table: which part is real, which embedded."""
    return dict(re.findall(r"^  (\w+) +\S.*? (real|embedded) +[\w.]+ ", text, re.MULTILINE))


def test_own_pdf_gets_a_cited_answer_with_nothing_but_python(
    demo: Callable[..., Demo], tmp_path: Path
) -> None:
    """No Go, nothing on PATH, an empty cache: the answer streams and cites file and page.

    Left running, the curl lines work unchanged, and Ctrl-C ends it with 0 and nothing left.
    """
    report = tmp_path / "marrowby report.pdf"
    report.write_bytes(pdf(PAGES))
    running = demo(report, "--ask", QUESTION, only_python=True)
    running.wait_for("Ctrl-C ends it")
    assert f'[1] marrowby report.pdf, p. 2: "{PAGES[1]}"' in " ".join(running.text.split())
    assert "214 nests" in running.text
    parts = kinds(running.text)
    assert "limits hold for this replica's workers only" in " ".join(running.text.split())
    assert parts == {
        "opa": "embedded",
        "s3": "embedded",
        "temporal": "real",
        "redis": "embedded",
        "core": "real",
        "worker": "real",
        "gateway": "real",
    }
    assert "checks no size, type, signature or checksum" in running.text
    run_curl_lines(running)
    open_console(running)
    running.process.send_signal(signal.SIGINT)
    assert running.ends(END_LIMIT_S) == 0
    running.assert_nothing_is_left()


def run_curl_lines(running: Demo) -> None:
    lines = re.findall(r"^  (curl .*)$", running.text, re.MULTILINE)
    assert len(lines) == 7
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    said = [
        subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=60, check=True)
        for line in lines
    ]
    login, query, again, documents, usage, key, logout = (one.stdout for one in said)
    assert '"access_token"' in login
    assert "event: done" in query
    assert "kb-gateway; hit" in again
    assert "event: done" in again
    assert "marrowby report.pdf" in documents
    assert '"counted"' in usage
    assert '"secret":"kbg_' in key
    assert logout == "204"


def open_console(running: Demo) -> None:
    """As its page does: by the token behind the ``#``, which outlives that of the curl lines."""
    [(base_url, token)] = re.findall(r"^  (http://\S+)/console#token=(\S+)$", running.text, re.M)
    headers = {"Authorization": f"Bearer {token}"}
    me = httpx.get(f"{base_url}/api/v1/auth/me", headers=headers, trust_env=False)
    assert (me.status_code, me.json()["subject"]) == (200, "admin")
    left_s = datetime.fromisoformat(me.json()["expires_at"]) - datetime.now(UTC)
    assert left_s <= timedelta(minutes=10)
    [store] = re.findall(r"^  s3 .* (http://\S+)$", running.text, re.M)
    asked = {"Origin": base_url, "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(f"{store}/documents", headers=asked, trust_env=False)
    assert preflight.headers["Access-Control-Allow-Origin"] in (base_url, "*")
    address = f"{base_url}/console#token={token}"
    text = ask_in_the_console(address, QUESTION, "marrowby report.pdf", 2)
    assert "214 nests" in text


def test_demo_once_answers_about_its_sample_and_ends(demo: Callable[..., Demo]) -> None:
    """With the components of this machine: exit 0, an answer, its source, nothing left."""
    running = demo("--once", "--workers", "2")
    assert running.ends() == 0, running.text
    assert "eight books" in running.text
    assert "[1] tidewater-library-handbook.md: " in running.text
    assert "Replacement card · 5 · 8" in running.text
    assert "a photograph, which may be old" in running.text
    assert "[1] tidewater-library-notices.pdf, p. 2: " in running.text
    assert kinds(running.text)["opa"] == find("opa").kind
    assert kinds(running.text)["s3"] == find("s3").kind
    running.assert_nothing_is_left()


def test_file_without_a_question_gets_one_that_it_answers(
    demo: Callable[..., Demo], tmp_path: Path
) -> None:
    """The demo asks about what stands out in the file, so that there is something to cite."""
    note = tmp_path / "note.txt"
    note.write_text(
        "Kilns fire the clay. A kiln is fired twice: first the biscuit, then the glaze."
    )
    running = demo(note, "--once")
    assert running.ends() == 0, running.text
    assert '[1] note.txt: "' in running.text


def test_file_that_cannot_be_indexed_ends_with_its_reason(
    demo: Callable[..., Demo], tmp_path: Path
) -> None:
    """Exit 1 and the workflow's own sentence."""
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nthis is no PDF\n")
    running = demo(broken, "--once")
    assert running.ends() == 1, running.text
    assert "broken.pdf could not be indexed: " in running.text
    running.assert_nothing_is_left()


def test_killed_demo_leaves_nothing(demo: Callable[..., Demo]) -> None:
    """SIGKILL gives it no chance to clean up; its watchdogs do."""
    running = demo()
    running.wait_for("Ctrl-C ends it")
    assert len(running.processes()) > 6
    assert running.sockets
    running.process.kill()
    running.assert_nothing_is_left()


@pytest.mark.parametrize(
    "moment", ["Starting everything", "core: starting", "gateway: starting", "Uploading"]
)
def test_interrupted_demo_leaves_nothing(demo: Callable[..., Demo], moment: str) -> None:
    """Ctrl-C at any moment before the answer: exit 130, everything stopped."""
    running = demo()
    running.wait_for(moment)
    running.process.send_signal(signal.SIGINT)
    assert running.ends(END_LIMIT_S) == 128 + signal.SIGINT
    running.assert_nothing_is_left()


def test_lost_component_ends_the_demo_with_a_sentence(demo: Callable[..., Demo]) -> None:
    """A part that dies while the demo serves is named; exit 1."""
    running = demo()
    running.wait_for("Ctrl-C ends it")
    [temporal] = [
        one for one in running.processes() if "start-dev" in one and "watchdog.py" not in one
    ]
    os.kill(int(temporal.split(":")[0]), signal.SIGKILL)
    assert running.ends(END_LIMIT_S) == 1
    assert "temporal ended by itself" in running.text
    running.assert_nothing_is_left()
