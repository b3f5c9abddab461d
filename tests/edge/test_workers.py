"""``gateway serve`` as it runs in production: worker processes on one address, and real signals."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from .served import Served, served
from .stub_core import DONE, META, STREAM_HEAD, StubCore, chunk
from .test_bad_inputs import ANNOUNCEMENTS, BODIES, METHODS, TARGETS, WIRE, Bad
from .test_query import terminal

# This one asks Temporal, which nobody runs here.
ASKING_OTHERS = {"parts of a document that is none"}
SENT = [
    bad
    for bad in (*BODIES, *ANNOUNCEMENTS, *TARGETS, *METHODS, *WIRE)
    if bad.name not in ASKING_OTHERS
]


async def disagreements(running: Served, bad: Bad) -> list[str]:
    answer = await running.send(bad.data)
    got = (answer.status, answer.code)
    return [] if got == (bad.status, bad.code) else [f"{bad.name}: {got}"]


@pytest.mark.parametrize("workers", [1, 4])
async def test_every_route_and_limit_is_the_same_with_any_number_of_workers(
    core: StubCore, tmp_path: Path, workers: int
) -> None:
    """The table of bad inputs, and a good stream, by real processes: not one answer differs."""
    async with served(core, tmp_path, workers) as running:
        wrong: list[str] = []
        for bad in SENT:
            wrong += await disagreements(running, bad)
        assert wrong == []
        streaming = await running.asking()
        assert (await streaming.rest()).endswith(DONE)
        streaming.writer.close()
    assert running.process.returncode == 0


async def test_no_answer_has_a_header_that_says_nothing(core: StubCore, tmp_path: Path) -> None:
    """Sanic's `Alt-Svc` has something to say only where HTTP/3 is served."""
    async with served(core, tmp_path, 1) as running:
        streaming = await running.asking()
        assert (await streaming.rest()).endswith(DONE)
        streaming.writer.close()
        answers = [await running.get(path) for path in ("/healthz", "/api/v1/auth/me", "/nowhere")]
        heads = [dict(answer.headers) for answer in answers]
        assert [
            name for head in (*heads, streaming.headers) for name in head if not head[name]
        ] == []


async def test_a_stop_signal_ends_streams_and_the_process(core: StubCore, tmp_path: Path) -> None:
    """SIGTERM: each open stream gets its ``DRAINING`` event, and all processes end with 0."""
    async with served(core, tmp_path, 2) as running:
        core.holds(STREAM_HEAD, chunk(META))
        open_streams = [await running.asking() for _ in range(6)]
        for streaming in open_streams:
            await streaming.until(META)
        running.process.send_signal(signal.SIGTERM)
        for streaming in open_streams:
            assert terminal(META + await streaming.rest())["code"] == "DRAINING"
            streaming.writer.close()
        async with asyncio.timeout(60):
            assert await running.process.wait() == 0
    lines = running.lines()
    ended = [line["stream_end"] for line in lines if line.get("stream_end")]
    assert ended == ["draining"] * 6
    assert not [line for line in lines if line["level"] == "error"]
