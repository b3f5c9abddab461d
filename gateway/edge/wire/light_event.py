"""A door to wait at: what ``asyncio.Event`` does for a connection, and light.

Every connection has two. An event's queue for its waiters takes 760 bytes, used or not, and only a
task can wait at one; here a callback can, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LightEvent:
    """Open or shut."""

    __slots__ = ("_open", "_waiting")

    def __init__(self, *, is_open: bool) -> None:
        self._open = is_open
        self._waiting: list[Callable[[], None]] | None = None

    def is_set(self) -> bool:
        return self._open

    def set(self) -> None:
        self._open = True
        waiting, self._waiting = self._waiting, None
        for call in waiting or ():
            call()

    def clear(self) -> None:
        self._open = False

    def then(self, call: Callable[[], None]) -> None:
        """Calls ``call`` once, when it is opened next."""
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(call)

    def forget(self, call: Callable[[], None]) -> None:
        """``call`` is not wanted any more."""
        if self._waiting is not None and call in self._waiting:
            self._waiting.remove(call)

    async def wait(self) -> bool:
        """Returns when it is open, or was opened meanwhile."""
        if self._open:
            return True
        opened = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not opened.done():
                opened.set_result(None)

        self.then(tell)
        try:
            await opened
        finally:
            self.forget(tell)
        return True
