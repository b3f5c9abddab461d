"""How much of a file is read: told by the readers, passed on by the process that they run in."""

from __future__ import annotations

from collections.abc import Callable

STEP = 0.01

_told: Callable[[float], None] | None = None
_last = 0.0


def passed_to(tell: Callable[[float], None] | None) -> None:
    """Have shares of 0 to 1 passed on from now on, at most one for each hundredth."""
    global _told, _last
    _told, _last = tell, 0.0


def tell(done: int, all_of_it: int) -> None:
    """Tell how many of a file's parts are read; cheap enough for each part."""
    global _last
    if _told is not None and all_of_it > 0:
        share = done / all_of_it
        if share - _last >= STEP:
            _last = share
            _told(share)
