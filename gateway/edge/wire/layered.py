"""A transport that stands on another one: what it need not answer by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

Bytes = bytes | bytearray | memoryview


class LayeredTransport(asyncio.Transport):
    """A transport over ``_below``: what waits there is what waits, and its socket is the socket.

    Closing one side alone is nothing that a layer with a goodbye of its own can do: whoever closes
    its side has left (see ``protocol.py``).
    """

    __slots__ = ("_below",)
    _below: asyncio.Transport

    def writelines(self, list_of_data: Iterable[Bytes]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def write_eof(self) -> None:
        raise NotImplementedError

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._below.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()
