"""A terminal with a program in it: what it shows, what is typed, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pyte

# What a test waits at most, however busy the machine is.
LIMIT_S = 60.0
# Who opens a terminal as the leader of a session is controlled by it: Ctrl-C becomes a signal.
_IN_IT = 'exec "$@" <>"$TTY" >&0 2>&0'


class Terminal:
    """``text`` is what is on the screen, ``raw`` all that was written to it."""

    def __init__(self, master: int, columns: int, lines: int) -> None:
        self.raw = b""
        self._master = master
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the last program has left it
            data = b""
        if not data:
            self.stop_reading()
        self.raw += data
        self._stream.feed(data)
        self._changed.set()

    def stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def until(self, shows: Callable[[str], bool] | str) -> str:
        """Waits until the screen is so."""
        wanted = shows if callable(shows) else lambda text: shows in text
        try:
            async with asyncio.timeout(LIMIT_S):
                while not wanted(self.text):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(self.text) from None
        return self.text

    async def ended(self) -> int:
        assert self.process is not None
        async with asyncio.timeout(LIMIT_S):
            code = await self.process.wait()
        self._read_the_rest()
        return code

    def _read_the_rest(self) -> None:
        os.set_blocking(self._master, False)
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65536):
                self.raw += data
                self._stream.feed(data)


@contextlib.asynccontextmanager
async def terminal(
    command: Sequence[str], env: Mapping[str, str], *, columns: int = 80, lines: int = 24
) -> AsyncIterator[Terminal]:
    """Started; at the end it is killed if it is still there."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    shown = Terminal(master, columns, lines)
    try:
        shown.process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _IN_IT, "sh", *command),
            env={**env, "TTY": os.ttyname(slave), "TERM": "xterm-256color"},
            start_new_session=True,
        )
        yield shown
    finally:
        if shown.process is not None and shown.process.returncode is None:
            shown.process.kill()
            await shown.process.wait()
        with contextlib.suppress(ValueError, OSError):
            shown.stop_reading()
        os.close(slave)
        os.close(master)
