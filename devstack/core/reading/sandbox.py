"""Runs the reading child and returns its result or the reason of its failure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from devstack.core.reading.formats import Unreadable
from devstack.core.reading.pages import Page

logger = logging.getLogger(__name__)

READ_TIMEOUT_S = 120.0
# Environment variables the child needs to start; nothing else is passed on, above all no secrets.
_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LC_ALL", "TMPDIR")
_COMMAND = (sys.executable, "-m", "devstack.core.reading.child")
# Signals a file can provoke: too much CPU or output, or a crash in a parser's native code.
_PROVOKED = {signal.SIGXCPU, signal.SIGXFSZ, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS}


class ReaderDied(Exception):
    """The child was killed by something other than the file; trying again may work."""


async def read_file(
    source: Path, target: Path, content_type: str, timeout_s: float = READ_TIMEOUT_S
) -> list[Page]:
    """The pages of a file, read in a process of its own; ``target`` is its scratch file.

    Raises:
        Unreadable: the file is broken, of another type, or beyond a limit.
        ReaderDied: the child was killed from outside.
    """
    async with _child(source, target, content_type) as child:
        try:
            async with asyncio.timeout(timeout_s):
                code = await child.wait()
        except TimeoutError as fault:
            raise Unreadable(f"The file took longer than {timeout_s:.0f} s to read.") from fault
    if code == 0:
        return await asyncio.to_thread(_result, target)
    if code < 0 and signal.Signals(-code) not in _PROVOKED:
        raise ReaderDied(f"killed by signal {-code}")
    raise Unreadable("The file made its reader crash; it is damaged or beyond a limit.")


@contextlib.asynccontextmanager
async def _child(
    source: Path, target: Path, content_type: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *(str(source), str(target), content_type),
        stdin=asyncio.subprocess.PIPE,  # never written to: its end tells the child that we ended
        stdout=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        if child.stdin is not None:
            child.stdin.close()


def _result(target: Path) -> list[Page]:
    result = json.loads(target.read_bytes())
    if "error" in result:
        raise Unreadable(result["error"])
    return [Page(number, text) for number, text in result["pages"]]
