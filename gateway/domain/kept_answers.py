"""Answers kept whole, within a number of bytes and for a time, and what they may be given for.

What counts against the bytes are the kept answers and those that are being copied while they
stream. The answer that was given longest ago makes room. An owner's answers leave as soon as it is
known that his documents are others: nobody can be given them any more, and a document that was
deleted is not to stay here in pieces.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

# What an entry takes beside its bytes: the objects round it, and its places in two tables.
ENTRY_BYTES = 512

Owner = tuple[str, str]


@dataclass(slots=True)
class Kept:
    """``data`` is the core's whole answer; ``None``: it is too long to be kept.

    ``until`` is its end, on the clock that ``KeptAnswers`` is used with; ``owner`` tenant and
    subject. ``events`` is how many events clients get, where ``data`` is just what they get; 0
    where a parse has to find that out. ``read`` is what was made of it where it is given as one
    document.
    """

    data: bytes | None
    until: float
    owner: Owner
    revision: str
    events: int = 0
    read: object = None
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.size_bytes = ENTRY_BYTES + (0 if self.data is None else len(self.data))


class KeptAnswers:
    """Args: ``limit_bytes`` is for all of them, ``answer_limit_bytes`` for one; ``ttl_s`` seconds.

    Attributes:
        size_bytes: what is kept and what is being copied.
    """

    def __init__(self, *, limit_bytes: int, answer_limit_bytes: int, ttl_s: float) -> None:
        self.answer_limit_bytes = answer_limit_bytes
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self.ttl_s = ttl_s
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._of_owner: dict[Owner, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, now: float) -> Kept | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept.until:
            self._remove(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(
        self,
        key: bytes,
        owner: Owner,
        revision: str,
        data: bytes | None,
        *,
        asked_at: float,
        events: int = 0,
    ) -> None:
        """Keeps an answer that was asked for at ``asked_at``; nothing where there is no room."""
        kept = Kept(data, asked_at + self.ttl_s, owner, revision, events)
        self._remove(key)
        if self.reserve(kept.size_bytes):
            self._kept[key] = kept
            self._of_owner.setdefault(owner, set()).add(key)

    def keep_read(self, key: bytes, kept: Kept, read: object) -> None:
        """Keeps what was made of an answer with it, where there is room: it takes twice as much."""
        more_bytes = 2 * kept.size_bytes
        if kept.read is not None or not self.reserve(more_bytes):
            return
        if self._kept.get(key) is kept:
            kept.read = read
            kept.size_bytes += more_bytes
        else:
            self.give_back(more_bytes)

    def reserve(self, size_bytes: int) -> bool:
        """Takes room, from the answers given longest ago where it must; false: there is none."""
        while self.size_bytes + size_bytes > self._limit_bytes:
            if not self._kept:
                return False
            self._remove(next(iter(self._kept)))
        self.size_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        self.size_bytes -= size_bytes

    def superseded(self, owner: Owner, revision: str) -> None:
        """Forgets the owner's answers that are of another revision than this one."""
        for key in tuple(self._of_owner.get(owner, ())):
            if self._kept[key].revision != revision:
                self._remove(key)

    def sweep(self, now: float) -> None:
        """Forgets what is over: most questions are asked once, and nobody comes to find it so."""
        for key in [key for key, kept in self._kept.items() if now >= kept.until]:
            self._remove(key)

    def _remove(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        self.size_bytes -= kept.size_bytes
        keys = self._of_owner[kept.owner]
        keys.discard(key)
        if not keys:
            del self._of_owner[kept.owner]
