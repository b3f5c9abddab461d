"""Sockets of ``gateway serve`` as it runs in production: its processes, real signals, its log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from .served import WAIT_S, Served, served, until
from .sockets import PATH, SILENT, Socket
from .stub_core import META, STREAM_HEAD, StubCore, chunk

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "websocket.md").read_text("utf-8")
# Sockets, and questions on each: what dies with a worker, or is ended by a drain.
SOCKETS, EACH = 25, 2


@contextlib.asynccontextmanager
async def socket_of(running: Served) -> AsyncIterator[Socket]:
    url = "ws://{}:{}{}".format(*running.address, PATH)
    headers = {"Authorization": f"Bearer {running.token}"}
    async with connect(
        url,
        additional_headers=headers,
        subprotocols=["kbg.v1"],  # type: ignore[list-item]
        proxy=None,
        open_timeout=WAIT_S,
        logger=SILENT,
    ) as connection:
        yield Socket(connection)


async def asking(running: Served, stack: contextlib.AsyncExitStack) -> list[Socket]:
    """That many sockets with that many answers under way on each."""
    sockets = [await stack.enter_async_context(socket_of(running)) for _ in range(SOCKETS)]
    for socket in sockets:
        for number in range(EACH):
            await socket.ask(str(number))
    for socket in sockets:
        for _ in range(EACH):
            assert (await socket.next())["event"] == "meta"
    return sockets


async def test_a_killed_worker_takes_its_own_sockets_only(core: StubCore, tmp_path: Path) -> None:
    """kill -9 in the middle of 50 answers: no close frame, no last message, and no lie."""
    core.holds(STREAM_HEAD + chunk(META))
    async with served(core, tmp_path, 2) as running, contextlib.AsyncExitStack() as stack:
        sockets = await asking(running, stack)
        os.kill(running.workers()[0], signal.SIGKILL)
        await running.said("worker died")
        alive = [socket for socket in sockets if await lives(socket)]
        assert 0 < len(alive) < SOCKETS
        assert all(one.of.close_code == 1006 for one in sockets if one not in alive)
        await running.said("worker ready", times=3)
        async with socket_of(running) as after:
            await after.ask()
            assert (await after.next())["event"] == "meta"


async def lives(socket: Socket) -> bool:
    try:
        async with asyncio.timeout(WAIT_S):
            await (await socket.of.ping())
    except ConnectionClosed:
        return False
    return True


async def test_a_stop_signal_ends_every_question_and_every_socket(
    core: StubCore, tmp_path: Path
) -> None:
    """50 answers: an ``error`` for each, then 1001; the process ends well, the log has them all."""
    core.holds(STREAM_HEAD + chunk(META))
    async with served(core, tmp_path, 2) as running, contextlib.AsyncExitStack() as stack:
        sockets = await asking(running, stack)
        running.signal(signal.SIGTERM)
        for socket in sockets:
            ended = [await socket.next() for _ in range(EACH)]
            assert {one["id"] for one in ended} == {str(number) for number in range(EACH)}
            assert {one["data"]["error"]["code"] for one in ended} == {"DRAINING"}
            assert await socket.closed() == (1001, "DRAINING")
        assert await running.ended() == 0
        asked = [line for line in running.lines("request") if line["door"] == "ws"]
        ends = [line for line in asked if line["status"] == 101]
        assert {line["close_code"] for line in ends} == {1001}
        assert (len(ends), len(asked) - len(ends)) == (SOCKETS, SOCKETS * EACH)


async def test_a_worker_that_no_socket_was_opened_on_is_told_by_nothing(
    core: StubCore, tmp_path: Path
) -> None:
    """Sockets closed by their clients leave no connection, no place and no task behind."""
    async with served(core, tmp_path, 1) as running:
        for _ in range(3):
            async with socket_of(running) as socket:
                await socket.ask()
                await socket.answer()
        await until(
            lambda: len([1 for line in running.lines("request") if line["status"] == 101]) == 3
        )
        assert not [line for line in running.lines() if line["level"] in ("error", "critical")]


# --- the page's examples ------------------------------------------------------------------------


def example(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    assert len(found) == 1, language
    return str(found[0])


async def output(*command: str, said: bytes = b"") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WAIT_S):
        told, _ = await process.communicate(said)
    assert process.returncode is not None
    return process.returncode, told.decode()


async def test_the_pages_example_for_code_works(core: StubCore, tmp_path: Path) -> None:
    """As it stands on the page, by the ``websockets`` package of its readers."""
    program = tmp_path / "example.py"
    program.write_text(example("python"), "utf-8")
    async with served(core, tmp_path, 1) as running:
        url = "ws://{}:{}{}".format(*running.address, PATH)
        assert await output(sys.executable, str(program), url, running.token) == (0, "hello")
        status, told = await output(sys.executable, str(program), url, "nonsense")
        assert status != 0
        assert "401" in told


async def test_the_pages_example_for_a_terminal_works(core: StubCore, tmp_path: Path) -> None:
    """``python -m websockets`` with the two messages of the page; it closes at the end of input."""
    said = [line[2:] for line in PAGE.splitlines() if line.startswith('> {"type"')]
    assert [line.split('"')[3] for line in said] == ["auth", "ask"]
    async with served(core, tmp_path, 1) as running:
        url = "ws://{}:{}{}".format(*running.address, PATH)
        typed = "\n".join(said).replace("eyJhbGciOi…", running.token)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "websockets", url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(typed.encode() + b"\n")
        seen = b""
        async with asyncio.timeout(WAIT_S):
            while b'"event":"done"' not in seen:
                piece = await process.stdout.read(4096)
                assert piece, seen
                seen += piece
            process.stdin.close()
            assert await process.wait() == 0
        assert b'"text":"hello"' in seen
