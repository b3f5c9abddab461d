"""What ``asyncio.Event`` does for a connection, in less memory.

Every connection has two: whether its transport may be written to, and whether data came. The queue
for waiters of an ``asyncio.Event`` takes 760 bytes, used or not, and only a task can wait for it;
here a callback can, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LightEvent:
    """Set or not, as an ``asyncio.Event`` is."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self, *, is_set: bool) -> None:
        self._is_set = is_set
        self._waiting: list[Callable[[], None]] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, None
        for call in waiting or ():
            call()

    def clear(self) -> None:
        self._is_set = False

    def then(self, call: Callable[[], None]) -> None:
        """Calls ``call`` once, when it is set next."""
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(call)

    def forget(self, call: Callable[[], None]) -> None:
        """Takes ``then`` back."""
        if self._waiting is not None and call in self._waiting:
            self._waiting.remove(call)

    async def wait(self) -> bool:
        """Returns when it is set, or was set meanwhile."""
        if self._is_set:
            return True
        waiter = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        self.then(wake)
        try:
            await waiter
        finally:
            self.forget(wake)
        return True
