"""Time, as what a request may take and as a clock that tests move."""

from __future__ import annotations

from typing import Protocol

Deadline = float
"""An absolute time of the running loop's clock (``loop.time()``)."""


class Clock(Protocol):
    """Time, as an argument: tests move it."""

    def time(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
