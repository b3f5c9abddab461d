"""A bounded queue that is fair between groups: each in turn, and the largest gives way.

Logins wait in it by client address. Who sends a hundred at once waits behind himself: the others'
turns come between his own. When the queue is full, a newcomer whose group has fewer waiting takes
the place of the last one of the largest group, so that no group keeps another out. One group alone
(everybody behind one proxy) may have all of it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


class FairQueue(Generic[Waiting]):
    """``limit`` is how many may wait, of all groups together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._groups: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, group: str, one: Waiting) -> Waiting | None:
        """Lets ``one`` wait; gives back who has no place now, which may be ``one`` itself."""
        turned_away = None
        if self._length >= self._limit:
            turned_away = self._make_room(group)
            if turned_away is None:
                return one
        self._groups.setdefault(group, deque()).append(one)
        self._length += 1
        return turned_away

    def _make_room(self, group: str) -> Waiting | None:
        """Takes out the last of the largest group; ``None`` where that would be no fairer."""
        if not self._groups:
            return None
        largest = max(self._groups, key=lambda name: len(self._groups[name]))
        # With the newcomer its group must not be larger than what is left of the largest.
        if len(self._groups.get(group, ())) + 1 >= len(self._groups[largest]):
            return None
        self._length -= 1
        return self._groups[largest].pop()

    def take(self) -> Waiting | None:
        """The next one: the first of the group whose last turn was the longest ago."""
        if not self._groups:
            return None
        group, waiting = self._groups.popitem(last=False)
        one = waiting.popleft()
        self._length -= 1
        if waiting:
            self._groups[group] = waiting
        return one

    def discard(self, group: str, one: Waiting) -> None:
        """Takes out one that waits no more; nothing where it is not there."""
        waiting = self._groups.get(group)
        if waiting is None or one not in waiting:
            return
        waiting.remove(one)
        self._length -= 1
        if not waiting:
            del self._groups[group]
