"""Programs we start: their output is read line by line, and they are stopped within a time limit.

``Child`` is one program under a watchdog (``watchdog.py``), so it ends when we do, however we end.
``Scratch`` is a temporary folder that is removed when we and every child have ended. POSIX only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack import watchdog

_WATCHDOG = [sys.executable, "-I", "-S", watchdog.__file__]
_KEPT_LINES = 400
_LONGEST_LINE_BYTES = 64 * 1024
_READY_POLL_S = 0.05


class StartFailed(Exception):
    """A program did not start or did not do its work; the message ends with its last output."""


class ChildDied(StartFailed):
    """It ended by itself before it was ready."""


class Scratch:
    """A temporary folder that is always removed: a sweeper process waits for our end.

    ``alive`` is a descriptor that every child's watchdog holds too; the sweeper removes the folder
    when we and the last of them have closed it.
    """

    # Short: sockets are made below it, and a socket's path has 104 characters at most on macOS,
    # where the temporary folder's own takes 49.
    def __init__(self, prefix: str = "kbg-") -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._reader, self.alive = os.pipe()
        self._sweeper = subprocess.Popen(
            [*_WATCHDOG, "sweep", str(self.path)], stdin=self._reader, start_new_session=True
        )
        os.close(self._reader)

    def close(self, timeout_s: float = 10.0) -> None:
        """Closes the descriptor and waits for the sweeper, which removes the folder."""
        os.close(self.alive)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._sweeper.wait(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Child:
    """One program, from ``start`` to ``stop``; can be started again with the same command.

    ``output`` keeps the last lines of both streams since the last start; ``lines_read`` counts all.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        alive: int | None = None,
        grace_s: float = 5.0,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.env = dict(env)
        self.output: deque[str] = deque(maxlen=_KEPT_LINES)
        self.lines_read = 0
        self.pid: int | None = None
        self.exit_code: int | None = None
        self._cwd = cwd
        self._alive = alive
        self._grace_s = grace_s
        self._watchdog: asyncio.subprocess.Process | None = None
        self._control: asyncio.StreamWriter | None = None
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def running(self) -> bool:
        return self.pid is not None and not self._ended.is_set()

    async def start(self, timeout_s: float = 10.0) -> None:
        """Starts the program under its watchdog.

        Raises:
            StartFailed: there is no such program, or it may not be run.
        """
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        self.pid, self.exit_code = None, None
        self.output.clear()
        self.lines_read = 0
        self._ended = asyncio.Event()
        ours, theirs = socket.socketpair()
        with theirs:
            self._watchdog = await asyncio.create_subprocess_exec(
                *_WATCHDOG,
                *("watch", str(self._grace_s), "--", *self.command),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.env,
                cwd=self._cwd,
                pass_fds=() if self._alive is None else (self._alive,),
                start_new_session=True,  # Ctrl-C must reach only us; we stop the program in order.
            )
        reports, self._control = await asyncio.open_connection(sock=ours)
        readers = [
            asyncio.create_task(self._read_output(stream), name=f"{self.name} output")
            for stream in (self._watchdog.stdout, self._watchdog.stderr)
            if stream is not None
        ]
        try:
            async with asyncio.timeout(timeout_s):
                first = json.loads(await reports.readline() or b"{}")
        except TimeoutError as exc:
            raise StartFailed(
                f"{self.name}: its watchdog did not start in {timeout_s:g} s"
            ) from exc
        finally:
            self._tasks = [
                *readers,
                asyncio.create_task(self._await_end(reports, readers), name=f"{self.name} end"),
            ]
        if "pid" not in first:
            await self.stop()
            raise StartFailed(f"{self.name}: {first.get('failed', 'could not be started')}")
        self.pid = int(first["pid"])

    async def _await_end(
        self, reports: asyncio.StreamReader, readers: Sequence[asyncio.Task[None]]
    ) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := await reports.readline():
                self.exit_code = json.loads(line).get("exit", self.exit_code)
        # Its last output is read before its end is reported. We don't wait long: a grandchild in a
        # session of its own may keep the streams open.
        await asyncio.wait(readers, timeout=1.0)
        self._ended.set()

    async def _read_output(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(_LONGEST_LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE_BYTES:
                lines.append(rest)
                rest = b""
            for line in lines:
                self._keep_line(line)
        if rest:
            self._keep_line(rest)

    def _keep_line(self, line: bytes) -> None:
        self.output.append(line.decode("utf-8", "replace").rstrip())
        self.lines_read += 1

    async def wait(self) -> int | None:
        """Waits for the end; returns the exit code (negative: the signal), ``None`` if unknown."""
        await self._ended.wait()
        return self.exit_code

    async def stop(self) -> None:
        """Ends the program and its group, within the grace and 5 s more; may be called twice."""
        if self._watchdog is None:
            return
        if self._control is not None and self._control.can_write_eof():
            with contextlib.suppress(OSError):
                self._control.write_eof()  # The watchdog sees the end, and can still report.
        try:
            async with asyncio.timeout(self._grace_s + 5):
                await self._watchdog.wait()
                await self._ended.wait()
        except TimeoutError:  # The watchdog itself is stopped (SIGSTOP).
            for group in (self.pid, self._watchdog.pid):
                if group is not None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(group, signal.SIGKILL)
            await self._watchdog.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._control is not None:
            self._control.close()
        self._watchdog = None
        self._ended.set()

    def freeze(self) -> None:
        """SIGSTOP to the program and its group: it stays alive and answers nobody."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to the program and its group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self.running or self.pid is None:
            raise RuntimeError(f"{self.name} is not running")
        os.killpg(self.pid, number)

    def last_output(self, lines: int = 15) -> str:
        """The last lines it printed, indented, for an error message."""
        kept = list(self.output)[-lines:]
        return "\n".join(f"    {line}" for line in kept) or "    (it printed nothing)"


async def start_and_wait(
    child: Child, ready: Callable[[], Awaitable[bool]], timeout_s: float
) -> None:
    """Starts ``child`` and asks ``ready`` until it is true; ends a child that never gets ready.

    Raises:
        ChildDied: it ended first.
        StartFailed: ``timeout_s`` went by. Both end with its last lines.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await child.start()
            await wait_ready(child, ready)
    except TimeoutError as exc:
        await child.stop()
        raise StartFailed(
            f"{child.name} was not ready in {timeout_s:g} s; its last lines:\n{child.last_output()}"
        ) from exc
    except BaseException:
        await child.stop()
        raise


async def wait_ready(child: Child, ready: Callable[[], Awaitable[bool]]) -> None:
    """Asks ``ready`` until it is true. Raises ``ChildDied`` when ``child`` ends before."""
    while not await ready() or not child.running:
        if not child.running:
            raise ChildDied(
                f"{child.name} ended with {child.exit_code} before it was ready; "
                f"its last lines:\n{child.last_output()}"
            )
        await asyncio.sleep(_READY_POLL_S)


async def run_to_end(child: Child, timeout_s: float) -> None:
    """Starts ``child`` and waits until it has ended with exit code 0.

    Raises:
        StartFailed: it ended with another code than 0, or not in ``timeout_s``.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await child.start()
            code = await child.wait()
    except TimeoutError as exc:
        raise StartFailed(f"{child.name} was not done in {timeout_s:g} s") from exc
    finally:
        await child.stop()
    if code != 0:
        raise StartFailed(f"{child.name} ended with {code}; its last lines:\n{child.last_output()}")
