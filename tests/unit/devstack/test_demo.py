"""The demo's own parts: what it writes, what it asks, what it says when a step fails."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.core.chunking import split
from devstack.core.reading.formats import read_document
from devstack.demo import cli, curls
from devstack.demo.answer import Answer, excerpt
from devstack.demo.client import Client, StepFailed, content_type_of, describe
from devstack.demo.question import phrase, prominent, suggest
from devstack.demo.screen import Progress, Screen, clean, size
from devstack.parts import PartInfo
from devstack.sample import QUESTION, SAMPLE, SAMPLES
from gateway.domain.sse import Event


def event(kind: str, data: Any) -> Event:
    return Event(kind, json.dumps(data), "")


def source(text: str, filename: str = "a.pdf", page: int | None = None) -> dict[str, Any]:
    found = {"document_id": "d", "filename": filename, "chunk_id": "c", "score": 1.0, "text": text}
    return found if page is None else {**found, "page": page}


# --- The answer ----------------------------------------------------------------------------------


def test_answer_streams_tokens_and_numbers_citations_as_they_first_come() -> None:
    """The number is the order of citing, not the source's index, and stays the same."""
    answer = Answer()
    events = [
        event("meta", {"query_id": "q", "model": "m"}),
        event("sources", [source("zero"), source("One two.", page=3), source("Three.", "b.md")]),
        event("token", {"text": "Three."}),
        event("citation", {"source": 2, "start": 0, "end": 6}),
        event("token", {"text": " One"}),
        event("token", {"text": " two."}),
        event("citation", {"source": 1, "start": 7, "end": 15}),
        event("citation", {"source": 2, "start": 0, "end": 6}),
        event("usage", {"prompt_tokens": 1, "completion_tokens": 2}),
        event("done", {"finish_reason": "stop"}),
    ]
    assert "".join(map(answer.take, events)) == "Three. [1] One two. [2] [1]"
    assert [str(one) for one in answer.citations()] == [
        '[1] b.md: "Three."',
        '[2] a.pdf, p. 3: "One two."',
    ]
    assert answer.finish_reason == "stop"


def test_excerpt_shows_the_quoted_part_of_a_long_passage() -> None:
    """It is cut between words and stays near the wanted length."""
    passage = "before " * 100 + "the needle itself " + "after " * 100
    shown = excerpt(passage, "the needle itself", chars=80)
    assert "the needle itself" in shown
    assert shown[0] == shown[-1] == "…"
    assert len(shown) <= 82
    assert set(shown.strip("…").split()) == {"before", "the", "needle", "itself", "after"}


@pytest.mark.parametrize("passage", ["short", "x" * 1000, " \n ", "wörd " * 200])
def test_excerpt_takes_any_passage(passage: str) -> None:
    """No passage, odd as it may be, makes it fail or run on."""
    assert len(excerpt(passage, "not in there", chars=50)) <= 60


# --- The question --------------------------------------------------------------------------------


def test_question_is_made_of_the_words_said_most() -> None:
    """Short words, numbers and words without a meaning of their own are left out."""
    texts = [
        "The heron and the heron and 2024 2024 2024",
        "A heron eats a trout; the trout, a fly.",
    ]
    assert prominent(texts)[:2] == ["heron", "trout"]
    assert phrase(["heron", "trout"]) == "What does the document say about heron and trout?"


def test_question_for_a_file_without_words_is_still_one() -> None:
    """An odd file name and no text end in the plainest question."""
    assert phrase(prominent([""])) == "What is this document about?"


async def test_question_about_a_file_uses_what_stands_in_it(tmp_path: Path) -> None:
    """The file is read as the core will read it, so that the index knows the words."""
    path = tmp_path / "x.md"
    path.write_text("# Penguins\n\nPenguins cannot fly. Penguins swim.\n")
    assert "penguins" in await suggest(path, "text/markdown", tmp_path)


async def test_question_about_an_unreadable_file_uses_its_name(tmp_path: Path) -> None:
    """That it cannot be read is for the workflow to say, not for the question."""
    path = tmp_path / "annual-report.pdf"
    path.write_bytes(b"%PDF-1.4 broken")
    question = await suggest(path, "application/pdf", tmp_path)
    assert question == "What does the document say about annual and report?"


def test_sample_is_there_and_answers_its_question() -> None:
    """The bundled document is installed, and the bundled question's words stand in it."""
    text = SAMPLE.read_text("utf-8")
    assert "A member may borrow up to eight books" in text
    assert {"books", "member", "borrow"} <= set(QUESTION.lower().replace(",", "").split())
    assert content_type_of(SAMPLE) == "text/markdown"


def test_samples_have_a_table_a_list_and_pages() -> None:
    """What the demo asks about is in three formats, and read as what it is."""
    found = [
        (chunk.passage.page, [block.text for block in chunk.passage.blocks])
        for path in SAMPLES
        for chunk in split("d", read_document(path, content_type_of(path)), threading.Event())
    ]
    assert len({path.suffix for path in SAMPLES}) == 3
    assert any("Replacement card · 5 · 8" in texts for _, texts in found)
    assert any("a photograph, which may be old" in texts for _, texts in found)
    (page,) = [page for page, texts in found if "dry dock" in " ".join(texts)]
    assert page == 2


# --- The screen ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_line_at_each_quarter_where_there_is_no_terminal() -> None:
    """A log gets five lines at most, however large the file."""
    out = io.StringIO()
    progress = Progress(Screen(out), "up", 1000)
    for _ in range(1000):
        progress.advance(1)
    lines = out.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == ["0%", "25%", "50%", "75%", "100%"]


def test_progress_redraws_one_line_on_a_terminal() -> None:
    """The bar moves in place and ends its line when it is full."""
    out = Terminal()
    progress = Progress(Screen(out), "up", 10)
    for _ in range(10):
        progress.advance(1)
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().endswith("100% of 10 B\n")


def test_foreign_text_cannot_drive_the_terminal() -> None:
    """Escape sequences in a document or its name are shown as what they are: rubbish."""
    assert clean("a\x1b[31mb\x9bc\td\n") == "a\ufffd[31mb\ufffdc\td\n"


def test_no_colours_where_the_user_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is honoured."""
    assert "\x1b" in Screen(Terminal()).paint("x", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen(Terminal()).paint("x", "1") == "x"


def test_table_says_what_is_embedded_and_what_that_means() -> None:
    """Name, product, kind, version and address of each part; a note below for substitutes."""
    out = io.StringIO()
    Screen(out).table(
        [
            PartInfo("s3", "moto", "embedded", "5.2", "http://x", "checks nothing"),
            PartInfo("opa", "OPA", "real", "1.22", None, ""),
        ]
    )
    _, s3, opa, note = out.getvalue().splitlines()
    assert s3.split() == ["s3", "moto", "embedded", "5.2", "http://x"]
    assert opa.split() == ["opa", "OPA", "real", "1.22", "–"]
    assert note.strip() == "s3: moto checks nothing"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")]
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    """Binary units, one decimal."""
    assert size(count) == text


# --- Before anything starts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("gone.pdf", None, "no such file"),
        ("empty.pdf", b"", "empty"),
        ("image.png", b"x", "only these kinds can be indexed: .pdf"),
    ],
)
def test_bad_file_is_refused_before_anything_starts(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    sentence: str,
) -> None:
    """Exit code 1 at once, and a sentence that names the file."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert cli.main([str(path)]) == 1
    out = capsys.readouterr().out
    assert name in out
    assert sentence in out
    assert "Starting" not in out


def test_a_folder_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is there, so "no such file" would send the user looking for the wrong thing."""
    assert cli.main([str(tmp_path)]) == 1
    assert "folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers", "0"],
        ["--workers", "x"],
        ["--wat"],
        ["--ask", " "],
        ["--ask", "?" * 8193],
    ],
)
def test_wrong_arguments_are_a_usage_error(arguments: list[str]) -> None:
    """Exit code 2, as everywhere."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


def test_curl_lines_are_shell_words_with_the_question_quoted(tmp_path: Path) -> None:
    """They work unchanged, whatever the question holds; the token is in a private file."""
    headers = curls.write_headers(tmp_path, "token")
    assert headers.stat().st_mode & 0o077 == 0
    question = """it's "quoted" $HOME `id` \\ é"""
    lines = dict(curls.lines("http://h:1", headers, "pass'word", question))
    words = {does: shlex.split(line) for does, line in lines.items()}
    assert all(line[0] == "curl" for line in words.values())
    asking = [line for line in words.values() if "http://h:1/api/v1/query" in line]
    assert [json.loads(line[line.index("-d") + 1]) for line in asking] == [{"query": question}] * 2
    assert "token" not in " ".join(lines.values()).replace("for a token", "")


# --- The client ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def client_of(handler: Any) -> AsyncIterator[Client]:
    client = Client("http://gateway", httpx.MockTransport(handler))
    try:
        yield client
    finally:
        await client.aclose()


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    error = {"code": code, "message": "No.", "details": {"request_id": "r-1"}}
    return httpx.Response(status, json={"error": error}, headers=headers)


async def test_failed_call_is_told_in_the_gateways_words() -> None:
    """The code, the message and the id that finds the request in the log."""
    async with client_of(lambda request: refusal(401, "INVALID_CREDENTIALS")) as client:
        with pytest.raises(StepFailed, match=r"logging in: 401 INVALID_CREDENTIALS: No. .*r-1"):
            await client.log_in("a", "b")


async def test_busy_gateway_is_asked_again() -> None:
    """503 is tried again after its Retry-After."""
    answers = iter(
        [
            refusal(503, "OVERLOADED", **{"Retry-After": "0"}),
            httpx.Response(200, json={"access_token": "t"}),
        ]
    )
    async with client_of(lambda request: next(answers)) as client:
        await client.log_in("a", "b")
        assert client.token == "t"


async def test_no_answer_is_a_sentence() -> None:
    """A dead address names the step it broke."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with client_of(refuse) as client:
        with pytest.raises(StepFailed, match="logging in: no answer"):
            await client.log_in("a", "b")


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (b'event: token\ndata: {"text":"a"}\n\n', "broke off without an error event"),
        (
            b'event: error\ndata: {"error":{"code":"CORE_TRUNCATED","message":"Cut.",'
            b'"details":{"request_id":"r"}}}\n\n',
            "CORE_TRUNCATED: Cut.",
        ),
    ],
)
async def test_stream_without_done_is_a_failure(stream: bytes, sentence: str) -> None:
    """Half an answer is never shown as a whole one."""
    async with client_of(lambda request: httpx.Response(200, content=stream)) as client:
        with pytest.raises(StepFailed, match=sentence):
            async for _ in client.ask("why?"):
                pass


async def test_failed_document_says_why(tmp_path: Path) -> None:
    """The workflow's own reason reaches the user."""
    path = tmp_path / "a.txt"
    path.write_text("text")
    document_id = "01a20a83-be19-7dcd-a217-280471b49440"

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            ticket = {"method": "POST", "url": "http://store", "fields": {}}
            body = {"document_id": document_id, "workflow_id": "w", "upload": ticket}
            return httpx.Response(201, json={**body, "complete_url": "/c"})
        failed = {"status": "failed", "progress": 0.4, "error": "The PDF is encrypted."}
        return httpx.Response(200, json=failed)

    told: list[str] = []
    async with client_of(handler) as client:
        upload = await client.announce(path)
        assert upload.complete_url == "http://gateway/c"
        with pytest.raises(StepFailed, match=r"a.txt could not be indexed: The PDF is encrypted."):
            await client.until_indexed(upload, told.append)
    assert told == ["failed: The PDF is encrypted."]


def test_progress_of_a_document_is_for_people() -> None:
    """State, and how far where that is known."""
    document = {"status": "processing", "progress": 0.4, "error": None}
    assert describe(document) == "processing, 40%"
    assert describe({**document, "stage": "reading"}) == "reading, 40%"
    assert describe({**document, "progress": None}) == "processing"
    told = {**document, "status": "indexed", "warnings": ["Page 2 could not be read."]}
    assert describe(told) == "indexed Page 2 could not be read."


@pytest.mark.parametrize("method", ["PUT", "MULTIPART", "POST"])
async def test_every_kind_of_upload_sends_the_whole_file(tmp_path: Path, method: str) -> None:
    """Form, PUT and parts: the store gets each byte once, and the progress counts them all."""
    content = bytes(range(256)) * 1000
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    stored: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "store":
            stored.append(request.content)
            return httpx.Response(200, headers={"ETag": f'"{len(stored)}"'})
        if request.url.path.endswith("/parts"):
            [n] = json.loads(request.content)["parts"]
            part = {"n": n, "url": f"http://store/{n}", "headers": {}}
            return httpx.Response(200, json={"parts": [part]})
        ticket = {
            "method": method,
            "url": "http://store",
            "fields": {"key": "k"},
            "headers": {"Content-Type": "text/plain"},
            "part_size": 100_000,
        }
        body = {"document_id": "d", "workflow_id": "w", "upload": ticket, "complete_url": "/c"}
        return httpx.Response(201, json=body)

    counted = 0

    def sent(count: int) -> None:
        nonlocal counted
        counted += count

    async with client_of(handler) as client:
        upload = await client.announce(path)
        parts = await client.send(upload, sent)
    assert counted == len(content)
    if method == "POST":
        assert content in stored[0]
        assert stored[0].index(b'name="key"') < stored[0].index(b'name="file"')
    else:
        assert b"".join(stored) == content
    if method == "MULTIPART":
        assert parts == [{"n": n, "etag": f'"{n}"'} for n in (1, 2, 3)]
    else:
        assert parts is None
