"""Sockets of ``gateway serve`` as it runs in production: its processes, real signals, its log."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from .served import WAIT_S, served, until
from .sockets import PATH, opened
from .stub_core import StubCore

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "websocket.md").read_text("utf-8")


async def test_a_worker_that_no_socket_was_opened_on_is_told_by_nothing(
    core: StubCore, tmp_path: Path
) -> None:
    """Sockets closed by their clients leave no connection, no place and no task behind."""
    async with served(core, tmp_path, 1) as running:
        for _ in range(3):
            async with opened(running, {"Authorization": f"Bearer {running.token}"}) as socket:
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


async def output(*command: str, said: bytes | None = None) -> tuple[int, str]:
    """Its exit code and what it wrote. Who is told nothing has no pipe, which it might close."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if said is None else asyncio.subprocess.PIPE,
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
