"""Who takes an answer's body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import httpx

from gateway.domain.plain_events import Framing


class Sink(Protocol):
    """Takes an answer's body as it comes, inside the event loop's read callback: never awaits."""

    def received(self, data: bytes) -> None: ...

    def framed_taker(
        self, parse: Callable[[bytes], None], framing: Framing
    ) -> Callable[[bytes], None]:
        """Gives what takes each read that begins between two frames, with its framing as it came.

        It takes whole frames, or hands the read to ``parse``; ``parse`` itself where this sink
        takes no frames.
        """

    def ended(self, error: httpx.TransportError | None) -> None:
        """Once, after the last ``received``; ``None`` where the body came to its proper end."""
