"""Runs the reading child and returns its result or the reason of its failure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from devstack.core.reading.blocks import ReadDocument, from_json
from devstack.core.reading.faults import CPU_LIMIT_S, Unreadable

logger = logging.getLogger(__name__)

READ_TIMEOUT_S = 120.0
# Environment variables the child needs to start; nothing else is passed on, above all no secrets.
_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LC_ALL", "TMPDIR")
_HEARD_BYTES = 4096
_CLOSING_S = 10.0
_SHARE = re.compile(rb"[01]\.\d\d(?=\n)")
_COMMAND = (sys.executable, "-m", "devstack.core.reading.child")
# Signals a file can provoke: too much output, or a crash in a parser's native code, which also
# ends itself so when it is refused memory.
_PROVOKED = {
    *(signal.SIGXFSZ, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS),
    *(signal.SIGILL, signal.SIGTRAP, signal.SIGFPE),
}


class ReaderDied(Exception):
    """The child was killed by something other than the file; trying again may work."""


async def read_file(
    source: Path,
    target: Path,
    content_type: str,
    timeout_s: float = READ_TIMEOUT_S,
    tell: Callable[[float], None] | None = None,
) -> ReadDocument:
    """The document in a file, read in a process of its own; ``target`` is its scratch file.

    ``tell`` is called with how much of it is read, from 0 to 1, where the format's reader knows.

    Raises:
        Unreadable: the file is broken, of another type, or beyond a limit.
        ReaderDied: the child was killed from outside.
    """
    async with _child(source, target, content_type) as child:
        try:
            async with asyncio.timeout(timeout_s):
                await _hear(child, tell)
                code = await child.wait()
        except TimeoutError as fault:
            raise Unreadable(f"The file took longer than {timeout_s:.0f} s to read.") from fault
    if code == 0:
        return await asyncio.to_thread(_result, target)
    if code == -signal.SIGXCPU:
        raise Unreadable(f"The file takes more than {CPU_LIMIT_S} s of computing time to read.")
    if code < 0 and signal.Signals(-code) not in _PROVOKED:
        raise ReaderDied(f"killed by signal {-code}")
    raise Unreadable("The file made its reader crash; it is damaged or beyond a limit.")


async def _hear(child: asyncio.subprocess.Process, tell: Callable[[float], None] | None) -> None:
    """Pass on what the child tells, until it closes its output, as it does when it ends."""
    assert child.stdout is not None
    while heard := await child.stdout.read(_HEARD_BYTES):
        found = _SHARE.findall(heard)
        if found and tell is not None:
            tell(float(found[-1]))


@contextlib.asynccontextmanager
async def _child(
    source: Path, target: Path, content_type: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *(str(source), str(target), content_type),
        stdin=asyncio.subprocess.PIPE,  # never written to: its end tells the child that we ended
        stdout=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await _close(child)


async def _close(child: asyncio.subprocess.Process) -> None:
    """Close the pipes of a child that was killed, and wait for it, which takes until they are."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    # It has started nothing that could keep them open, unless a file has taken it over.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSING_S):
            while await child.stdout.read(_HEARD_BYTES):
                pass
            await child.wait()


def _result(target: Path) -> ReadDocument:
    with target.open("rb") as lines:
        head = json.loads(next(lines))
        if "error" in head:
            raise Unreadable(head["error"])
        return ReadDocument(
            tuple(from_json(json.loads(line)) for line in lines), tuple(head["warnings"])
        )
