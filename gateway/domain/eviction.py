"""Which entries of a cache go: those that are over, and the longest unused beyond its size.

An entry that is over goes even where there is room. Most questions and keys are asked about once,
and nobody would come again to find them over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def make_room(kept: OrderedDict[K, V], max_entries: int, is_over: Callable[[V], bool]) -> None:
    """Removes entries from the front of ``kept``, whose order is that of their last use.

    It stops at the first that may stay, so an entry that is over is met there sooner or later.
    """
    while kept:
        longest_unused = next(iter(kept.values()))
        if len(kept) <= max_entries and not is_over(longest_unused):
            return
        kept.popitem(last=False)
