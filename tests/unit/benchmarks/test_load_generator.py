"""The load generator sees every wrong byte."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks import gobuild, shapes
from devstack.components import Missing

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="the benchmarks read Linux's /proc"
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("go")
    try:
        return asyncio.run(gobuild.build(folder))
    except Missing as exc:
        if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
            pytest.fail(str(exc))
        pytest.skip(str(exc))


def test_the_go_parts_pass_their_own_tests(programs: dict[str, Path]) -> None:
    """Every cut of an answer is accepted, every changed byte refused."""
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    done = subprocess.run(
        [gobuild.find_go(), "test", "./..."],
        cwd=gobuild.SOURCES,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSAL = b'{"error": {"code": "OVERLOADED", "message": "", "details": {}}}'


def meta(stream: int) -> bytes:
    return b'event: meta\ndata: {"query_id":"%d","model":"stub"}\n\n' % stream


def token(stream: int, number: int) -> bytes:
    fill = b"abcdefghijklmnopqrstuvwxyz" * 3
    start = (stream * 31 + number) % 26
    head = b'event: token\ndata: {"text":"s%06d n%08d t%019d ' % (stream, number, 10**18)
    return head + fill[start : start + 120 - len(head) - 4] + b'"}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def tokens(stream: int, *numbers: int) -> bytes:
    return HEAD + chunk(meta(stream)) + b"".join(chunk(token(stream, n)) for n in numbers)


@asynccontextmanager
async def answering(answer: Callable[[int], bytes], *, hang_up: bool) -> AsyncIterator[str]:
    """A server that sends ``answer(stream)`` and then hangs up, or waits for the client to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}")
        found = re.search(rb"id=(\d+)", body)
        assert found is not None
        writer.write(answer(int(found[1])))
        if not hang_up:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/query"


async def load(
    programs: dict[str, Path], folder: Path, url: str, **more: object
) -> dict[str, object]:
    plan = folder / "plan.json"
    usual = {"mode": "streams", "url": url, "streams": 2, "seconds": 0.2, "open_per_s": 100}
    plan.write_text(json.dumps({**usual, **more}), "utf-8")
    process = await asyncio.create_subprocess_exec(
        programs["load"], plan, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    result: dict[str, object] = json.loads(said.splitlines()[-1])
    assert result["at"] == "result"
    return result


WRONG: dict[str, tuple[Callable[[int], bytes], str]] = {
    "an event lost": (lambda n: tokens(n, 0, 2), "wrong_bytes"),
    "an event doubled": (lambda n: tokens(n, 0, 0), "wrong_bytes"),
    "another stream's event": (lambda n: tokens(n, 0) + chunk(token(n + 1, 1)), "wrong_bytes"),
    "a byte changed": (lambda n: tokens(n, 0).replace(b"abc", b"abd"), "wrong_bytes"),
    "a transfer cut": (lambda n: tokens(n, 0, 1)[:-3], "cut"),
    "a clean end before done": (lambda n: tokens(n, 0, 1) + b"0\r\n\r\n", "cut"),
    "a refusal": (
        lambda n: b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n%b" % (len(REFUSAL), REFUSAL),
        "503 OVERLOADED",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_an_answer_that_is_not_the_cores_is_a_failure(
    name: str, programs: dict[str, Path], tmp_path: Path
) -> None:
    """A relay that drops, merges or breaks off is not fast but wrong, and is counted so."""
    answer, kind = WRONG[name]
    async with answering(answer, hang_up=kind == "cut") as url:
        assert (await load(programs, tmp_path, url))["failures"] == {kind: 2}


async def test_the_cores_own_bytes_and_comments_are_fine(
    programs: dict[str, Path], tmp_path: Path
) -> None:
    """A heartbeat between two events is nobody's event."""

    def answer(stream: int) -> bytes:
        return tokens(stream, 0) + chunk(b": ping\n\n") + chunk(token(stream, 1))

    async with answering(answer, hang_up=False) as url:
        result = await load(programs, tmp_path, url)
    assert (result["failures"], result["comments"], result["events_all"]) == ({}, 2, 4)


@asynccontextmanager
async def stub_core(programs: dict[str, Path]) -> AsyncIterator[str]:
    """The stub core on a port of its own: its URL for questions."""
    process = await asyncio.create_subprocess_exec(
        programs["stubcore"], stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        yield f"http://{ready['core']}/v1/query"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("payload", [0, 20, 4096])
async def test_the_stub_core_sends_every_shape_as_the_load_expects_it(
    payload: int, programs: dict[str, Path], tmp_path: Path
) -> None:
    """Whatever the framing, and however much comes at a time."""
    async with stub_core(programs) as url:
        for load_of in shapes.SHAPES:
            more = {"shape": load_of.shape, "payload": payload, "rate": 100.0}
            result = await load(programs, tmp_path, url, **more)
            assert result["failures"] == {}, (load_of, result)
            assert result["events_all"], load_of


async def test_an_event_of_another_shape_is_a_failure(
    programs: dict[str, Path], tmp_path: Path
) -> None:
    """A relay that writes events anew, in its own way, changes the core's bytes."""
    async with answering(lambda n: tokens(n, 0), hang_up=False) as url:
        result = await load(programs, tmp_path, url, shape="id")
    assert result["failures"] == {"wrong_bytes": 2}
