"""One JSON line a request, with the verdict, and never what somebody told us in confidence."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.edge.observe import log_output

from .conftest import Gateway
from .fakes import PASSWORD
from .forging import forge
from .raw import exchange, request, reset
from .stub_core import DONE, END, META, STREAM_HEAD, chunk

CANARY = "canary-7c1e"
DOCUMENT = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"


class Lines:
    """What was logged so far."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.all() if line["event"] == "request"]

    async def request(self, request_id: str) -> dict[str, Any]:
        """The one line of a request; a stream's is written when it has ended."""
        async with asyncio.timeout(20):
            while True:
                found = [line for line in self.requests() if line["request_id"] == request_id]
                if found:
                    assert len(found) == 1, found
                    return found[0]
                await asyncio.sleep(0.01)


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging as it was before, afterwards: loggers must not remember this test's stream."""
    real, root = structlog.configure, logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    monkeypatch.setattr(
        structlog,
        "configure",
        lambda **told: real(**{**told, "cache_logger_on_first_use": False}),
    )
    yield
    real(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def lines(uncached: None, gateway: Gateway) -> Lines:
    kept = Lines()
    log_output.configure("debug", "json", kept.stream)
    return kept


async def test_every_line_of_a_traced_request_carries_its_trace(
    gateway: Gateway, lines: Lines
) -> None:
    """Also those written on its way; the next request of the connection is another one's."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    gateway.core.sends(b"HTTP/1.1 418 Tea\r\nContent-Length: 0\r\n\r\n")
    traced = {**await gateway.bearer(), "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    asked = await gateway.client.post("/api/v1/query", json={"query": "hi"}, headers=traced)
    assert asked.status_code == 502
    other = await gateway.client.get("/healthz")
    assert (await lines.request(other.headers["X-Request-ID"])).get("trace_id") is None
    found = [line for line in lines.all() if line.get("trace_id") == trace_id]
    assert {line["event"] for line in found} == {"core_status", "request"}


async def test_a_requests_line_looks_like_every_other(gateway: Gateway, lines: Lines) -> None:
    """It is written without structlog in between; who reads the log need not know."""
    await gateway.client.get("/healthz", headers={"X-Request-ID": "one"})
    structlog.get_logger("gateway.access").info("request", request_id="two")
    ours, theirs = await lines.request("one"), await lines.request("two")
    assert ours.keys() >= theirs.keys()
    for name in ("event", "level", "logger"):
        assert ours[name] == theirs[name]
    assert len(ours["timestamp"]) == len(theirs["timestamp"])


def test_lines_that_wait_are_written_whole(uncached: None) -> None:
    """Workers share one pipe: a piece is no longer than the kernel takes at once, or one line."""
    kept: list[str] = []

    class Pipe(io.StringIO):
        def write(self, text: str) -> int:
            kept.append(text)
            return len(text)

    log_output.configure("info", "json", Pipe())

    async def many() -> None:
        for number in range(40):
            log_output.info("gateway.access", "request", {"number": number, "text": "é" * 150})
        log_output.info("gateway.access", "request", {"number": 40, "text": "x" * 9000})

    asyncio.run(many())
    log_output.flush()
    assert [json.loads(line)["number"] for line in "".join(kept).splitlines()] == [*range(41)]
    assert all(text.endswith("\n") for text in kept)
    assert all(len(text.encode()) <= 4096 or text.count("\n") == 1 for text in kept)
    assert len(kept) < 20


async def test_a_request_is_one_line_with_the_verdict(gateway: Gateway, lines: Lines) -> None:
    """Method, template, status, times, bytes, who, what was decided: all of it, once."""
    headers = {**await gateway.bearer("root"), "X-Request-ID": "mine-1"}
    answer = await exchange(gateway.address, request("GET", "/api/v1/keys?owner=alice", headers))
    line = await lines.request("mine-1")
    assert line["duration_ms"] >= line["first_byte_ms"] >= 0
    for varying in ("duration_ms", "first_byte_ms", "timestamp", "credential_id", "decision_id"):
        assert line.pop(varying)
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "gateway.access",
        "request_id": "mine-1",
        "door": "http",
        "method": "GET",
        "route": "/api/v1/keys",
        "status": 200,
        "bytes": len(answer.body),
        "ip": "127.0.0.1",
        "principal": "root",
        "tenant": "acme",
        "auth": "jwt",
        "owner": "alice",
        "action": "keys:list:any-owner",
        "decision": "allow",
        "decision_reason": "allowed",
    }


async def test_a_line_names_the_route_and_never_the_address(gateway: Gateway, lines: Lines) -> None:
    """Ids and parameters stay out: the template is bounded in number and tells nothing."""
    headers = {**await gateway.bearer(), "X-Request-ID": "mine-2"}
    await exchange(
        gateway.address, request("GET", f"/api/v1/documents/{DOCUMENT}?x={CANARY}", headers)
    )
    line = await lines.request("mine-2")
    assert line["route"] == "/api/v1/documents/<document_id:str>"
    assert line["error"] == "VALIDATION_ERROR"
    assert DOCUMENT not in lines.text


async def test_the_line_of_a_head_is_that_of_get_with_no_byte_sent(
    gateway: Gateway, lines: Lines
) -> None:
    """The same route, and the same action was asked about; the method is the one that came."""
    headers = await gateway.bearer()
    for method in ("GET", "HEAD"):
        asked = request(method, "/api/v1/auth/me", {**headers, "X-Request-ID": method})
        await exchange(gateway.address, asked)
    got, head = await lines.request("GET"), await lines.request("HEAD")
    assert (head["method"], head["bytes"]) == ("HEAD", 0)
    assert got["bytes"] > 0
    for field in ("route", "status", "action", "decision", "principal"):
        assert head[field] == got[field]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request("GET", "/nothing", {"X-Request-ID": "r"}), (404, "NOT_FOUND", None)),
        (request("BREW", "/healthz", {"X-Request-ID": "r"}), (501, "NOT_IMPLEMENTED", None)),
        (
            request("GET", "/api/v1/keys", {"X-Request-ID": "r"}),
            (401, "UNAUTHENTICATED", "/api/v1/keys"),
        ),
    ],
)
async def test_refusals_have_a_line_too(
    gateway: Gateway, lines: Lines, data: bytes, expected: tuple[int, str, str | None]
) -> None:
    """With the code, and for a 401 the reason the client is not told."""
    await exchange(gateway.address, data)
    line = await lines.request("r")
    assert (line["status"], line["error"], line["route"]) == expected
    assert (line.get("auth_reason") == "missing") == (line["status"] == 401)


async def test_what_is_no_request_has_a_line(gateway: Gateway, lines: Lines) -> None:
    """Refused at the wire is still refused by us."""
    answer = await exchange(gateway.address, b"\x16\x03\x01" + CANARY.encode() + b"\r\n\r\n")
    line = await lines.request(answer.header("x-request-id") or "")
    assert (line["status"], line["error"]) == (400, "MALFORMED_REQUEST")
    assert CANARY not in lines.text


async def test_a_stream_has_one_line_when_it_has_ended(gateway: Gateway, lines: Lines) -> None:
    """With how it ended, and the bytes the client was sent."""
    gateway.core.sends(STREAM_HEAD, chunk(META + DONE), END)
    streaming = await gateway.asking(**{"X-Request-ID": "whole"})
    body = await streaming.rest()
    line = await lines.request("whole")
    assert (line["status"], line["stream_end"], line["upstream"]) == (200, "done", "core")
    assert line["bytes"] == len(body)
    streaming.writer.close()


async def test_a_broken_stream_says_how_it_broke(gateway: Gateway, lines: Lines) -> None:
    """The status is 200, so the ending is what tells."""
    gateway.core.sends(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking(**{"X-Request-ID": "broken"})
    await streaming.rest()
    line = await lines.request("broken")
    assert (line["status"], line["stream_end"]) == (200, "core_truncated")
    assert line["error"] == "CORE_TRUNCATED"
    streaming.writer.close()


async def test_a_client_that_left_has_its_line(gateway: Gateway, lines: Lines) -> None:
    """Nobody was told anything, and that is what the line says."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking(**{"X-Request-ID": "left"})
    await streaming.until(META)
    streaming.writer.transport.abort()
    assert (await lines.request("left"))["stream_end"] == "client_left"


async def test_a_client_that_left_before_its_json_answer_has_its_line(
    gateway: Gateway, lines: Lines
) -> None:
    """Also where no head ever went out."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    headers = {"Content-Type": "application/json", "X-Request-ID": "gone"}
    _, writer = await asyncio.open_connection(*gateway.address)
    writer.write(
        request(
            "POST",
            "/api/v1/query",
            {**headers, **await gateway.bearer()},
            b'{"query": "hi", "stream": false}',
        )
    )
    async with asyncio.timeout(20):
        await gateway.core.asked.wait()
    reset(writer)
    assert (await lines.request("gone"))["stream_end"] == "client_left"


async def test_secrets_never_reach_a_line(gateway: Gateway, lines: Lines) -> None:
    """Passwords, tokens, keys, queries, bodies, filenames, parameters, paths, odd headers."""
    headers = await gateway.bearer()
    made = await gateway.client.post(
        "/api/v1/keys", json={"name": CANARY, "scopes": ["query:run"]}, headers=headers
    )
    key = made.json()["secret"]
    token = headers["Authorization"].removeprefix("Bearer ")
    forged = forge(sub="alice", secret=CANARY.encode())
    post = gateway.client.post
    await post("/auth/login", json={"username": "alice", "password": CANARY})
    await post("/auth/login", json={"username": CANARY, "password": PASSWORD})
    await post("/auth/login", content=CANARY, headers={"Content-Type": "application/json"})
    await post("/api/v1/query", json={"query": CANARY}, headers={"X-API-Key": key})
    await post("/api/v1/query", json={"query": CANARY, "stream": False}, headers=headers)
    await post("/api/v1/query", json={CANARY: CANARY}, headers=headers)
    announced = {"filename": f"{CANARY}.txt", "content_type": "text/plain", "size": 5}
    await post("/api/v1/documents", json=announced, headers=headers)
    await post("/api/v1/documents", json={**announced, "size": CANARY}, headers=headers)
    for target in (f"/{CANARY}", f"/api/v1/documents/{CANARY}", f"/healthz?token={CANARY}"):
        await gateway.client.get(target, headers={**headers, "X-Secret": CANARY})
    for value in (f"Bearer {CANARY}", f"Bearer {forged}", f"Basic {CANARY}", CANARY):
        await gateway.client.get("/api/v1/auth/me", headers={"Authorization": value})
    await gateway.client.get("/api/v1/auth/me", headers={"X-API-Key": f"kbg_{CANARY}"})
    await exchange(gateway.address, request("GET", "/x", {"X-Request-ID": f"{CANARY}\n"}))
    assert len(lines.requests()) >= 18
    for secret in (CANARY, PASSWORD, key, token, token.rsplit(".", 1)[1], forged, "core-token"):
        assert secret not in lines.text


async def test_an_exception_is_logged_without_what_it_says(gateway: Gateway, lines: Lines) -> None:
    """Where and of what kind, through its causes, under the request's id: no text, no variable."""

    async def explode(*_: object) -> None:
        password = CANARY
        try:
            raise KeyError(password)
        except KeyError as exc:
            raise RuntimeError(f"no such password: {password}") from exc

    gateway.workflows.list_open = explode  # type: ignore[method-assign,assignment]
    headers = {**await gateway.bearer(), "X-Request-ID": "mine-3"}
    await exchange(gateway.address, request("GET", "/api/v1/documents", headers))
    (told,) = [line for line in lines.all() if line["event"] == "internal error"]
    assert told["request_id"] == "mine-3"
    assert told["level"] == "error"
    assert "RuntimeError" in told["exception"]
    assert "KeyError" in told["exception"]
    assert "in explode" in told["exception"]
    assert CANARY not in lines.text
    assert (await lines.request("mine-3"))["error"] == "INTERNAL"


async def test_a_librarys_exception_is_logged_the_same_way(uncached: None) -> None:
    """Lines of the standard library's loggers go through the same door."""
    kept = Lines()
    log_output.configure("info", "json", kept.stream)
    try:
        raise ExceptionGroup("group", [ValueError(CANARY)])
    except ExceptionGroup:
        logging.getLogger("some.library").exception("it broke")
    (line,) = kept.all()
    assert (line["event"], line["logger"], line["level"]) == ("it broke", "some.library", "error")
    assert "ValueError" in line["exception"]
    assert CANARY not in kept.text


async def test_what_a_module_adds_to_its_line_is_on_it(uncached: None) -> None:
    """Our modules' ``extra`` is told; a library's, which may hold anything, is not."""
    stream = io.StringIO()
    log_output.configure("info", "json", stream)
    logging.getLogger("gateway.core").warning("core_status", extra={"status": 418, "body": CANARY})
    assert json.loads(stream.getvalue())["status"] == 418
    assert CANARY not in stream.getvalue()


async def test_on_a_terminal_lines_are_for_reading(uncached: None) -> None:
    """``auto`` looks at the stream; there too an exception's text and variables stay out."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    log_output.configure("info", "auto", stream)
    secret = CANARY
    try:
        raise RuntimeError(secret)
    except RuntimeError:
        structlog.get_logger("gateway.test").exception("it broke", status=500)
    assert "it broke" in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()
    assert CANARY not in stream.getvalue()
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(stream.getvalue())
