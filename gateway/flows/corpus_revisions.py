"""Which revision of a user's documents the core has now: asked for, overheard, remembered shortly.

Whatever the core answers about somebody's documents names their revision in its head
(``X-KB-Corpus-Revision``), and is remembered too: so a worker that gave out a deletion, or a
document's new state, knows it from then on. Else what was said is good for at most a second,
counted from when the question was sent. A core that has no revisions is asked once a minute.

Calls overlap: of two that were under way together and name different revisions nobody can say which
is the later one. Then none is known, until a call that is sent after both has its answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.domain.corpus_revision import Told
from gateway.domain.eviction import make_room
from gateway.domain.kept_answers import Owner
from gateway.errors import CoreLacks, GatewayError
from gateway.ports import Clock, OnBehalfOf

REMEMBERED_S = 1.0
# How long a question waits for it at most. Without it the core is asked, and nothing is kept.
WAIT_S = 2.0
LACKING_S = 60.0
# Users; each takes some 400 bytes.
MOST_REMEMBERED = 10_000


class RevisedCore(Protocol):
    """The part of the core that tells revisions."""

    async def revision(self, who: OnBehalfOf) -> str | None:
        """``None``: what it says is none. Raises ``CoreLacks`` where it has no such call."""

    def tell(self, listener: Told) -> None:
        """Tells ``listener`` what each answer's head says, from now on."""


@dataclass(frozen=True, slots=True)
class _Said:
    """``heard_at`` is when this revision was first named; one that holds just from then on was
    "sent" then, too."""

    revision: str | None
    sent_at: float
    heard_at: float


class CorpusRevisions:
    """Implements ``domain.corpus_revision.Told``.

    Args:
        on_change: called with an owner and his revision whenever another one is heard of.
    """

    def __init__(
        self,
        core: RevisedCore,
        clock: Clock,
        on_change: Callable[[Owner, str], None],
        remembered_s: float = REMEMBERED_S,
    ) -> None:
        self._core = core
        self._remembered_s = remembered_s
        self._on_change = on_change
        self.now = clock.monotonic
        self._said: OrderedDict[Owner, _Said] = OrderedDict()
        self._under_way: dict[Owner, tuple[float, asyncio.Task[str | None]]] = {}
        self._tasks: set[asyncio.Task[str | None]] = set()
        self._lacks_until = float("-inf")
        core.tell(self)

    def known(self, tenant: str, subject: str) -> str | None:
        """What ``get`` would give without asking."""
        said = self._remembered((tenant, subject))
        return None if said is None else said.revision

    async def get(self, who: OnBehalfOf) -> str | None:
        """What it is, or was a moment ago; ``None`` where the core tells none in time."""
        owner = (who.tenant, who.subject)
        if (said := self._remembered(owner)) is not None:
            return said.revision
        if self.now() < self._lacks_until:
            return None
        sent_at, task = self._under_way.get(owner, (0.0, None))
        if task is None or sent_at <= self.now() - self._remembered_s:
            task = self._ask(owner, who)
        asked = await self._waited(owner, task)
        # Something later may have been overheard meanwhile, such as what a deletion says.
        said = self._remembered(owner)
        return asked if said is None else said.revision

    async def get_now(self, who: OnBehalfOf) -> str | None:
        """What it is after this call began. No question waits for that: it may take its time."""
        task = self._ask((who.tenant, who.subject), who)
        await asyncio.wait({task})
        return task.result()

    def _remembered(self, owner: Owner) -> _Said | None:
        said = self._said.get(owner)
        is_fresh = said is not None and self.now() < said.sent_at + self._remembered_s
        return said if is_fresh else None

    def told(self, tenant: str, subject: str, revision: str | None, sent_at: float) -> None:
        owner = (tenant, subject)
        before, said = self._said.get(owner), _Said(revision, sent_at, self.now())
        if before is not None and (later := _later(before, said)) is not said:
            self._said[owner] = later
            return
        self._said[owner] = said
        self._said.move_to_end(owner)
        if revision is not None and (before is None or before.revision != revision):
            self._on_change(owner, revision)
        over = self.now() - self._remembered_s
        make_room(self._said, MOST_REMEMBERED, lambda said: said.sent_at <= over)

    async def _waited(self, owner: Owner, task: asyncio.Task[str | None]) -> str | None:
        # ``wait``: the task is not this caller's, who may leave.
        done, _ = await asyncio.wait({task}, timeout=WAIT_S)
        if done:
            return task.result()
        # Not each question is to wait for a core that is slow to tell.
        self.told(*owner, None, self.now())
        return None

    def _ask(self, owner: Owner, who: OnBehalfOf) -> asyncio.Task[str | None]:
        task = asyncio.create_task(self._asked(owner, who), name="corpus revision")
        self._under_way[owner] = (self.now(), task)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._answered(owner, done))
        return task

    async def _asked(self, owner: Owner, who: OnBehalfOf) -> str | None:
        """Never fails: a core that cannot tell it may still answer the question."""
        sent_at = self.now()
        try:
            revision = await self._core.revision(who)
        except CoreLacks:
            self._lacks_until = sent_at + LACKING_S
            return None
        except GatewayError:
            revision = None
        self.told(*owner, revision, sent_at)
        return revision

    def _answered(self, owner: Owner, task: asyncio.Task[str | None]) -> None:
        self._tasks.discard(task)
        if self._under_way.get(owner, (0.0, None))[1] is task:
            del self._under_way[owner]


def _later(before: _Said, said: _Said) -> _Said:
    """What is known once both were said, ``said`` at last."""
    if said.sent_at >= before.heard_at:
        return said
    if said.revision == before.revision:
        return replace(before, sent_at=max(before.sent_at, said.sent_at))
    if before.sent_at == before.heard_at:
        return before
    return _Said(None, said.heard_at, said.heard_at)
