"""Answers that are kept, over a core that a test scripts and a clock that it moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from gateway.domain.corpus_revision import Told
from gateway.domain.kept_answers import KeptAnswers
from gateway.errors import GatewayError
from gateway.flows.answer_cache import AnswerCache
from gateway.flows.answer_stream import Answer, Query
from gateway.flows.corpus_revisions import CorpusRevisions
from gateway.flows.relay import Relay
from gateway.flows.ticker import Ticker
from gateway.ports import OnBehalfOf

from .scripted_core import Said, ScriptedStream, TakingClient, far_limits

META = b'event: meta\ndata: {"query_id":"q","model":"m"}\n\n'
TOKEN = b'event: token\ndata: {"text":"a"}\n\n'
DONE = b'event: done\ndata: {"finish_reason":"stop"}\n\n'
WHOLE = (META, TOKEN, DONE, None)
ASKED = {"query": "why?"}


def who(subject: str = "ann", tenant: str = "acme", *roles: str) -> OnBehalfOf:
    return OnBehalfOf(subject, tenant, frozenset(roles or {"reader"}), "req-1")


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class RevisedStream(ScriptedStream):
    def __init__(self, revision: str | None, said: tuple[Said, ...]) -> None:
        super().__init__()
        self.revision = revision
        self.said.extend(said)

    def say(self, *items: Said) -> None:
        self.said.extend(items)
        self.go_on()


class RevisedCore:
    """Says ``answer`` to each question, and names its revision.

    Attributes:
        revision: of everybody's documents; ``head`` is what an answer's head names instead.
        streams: the answers that were opened.
    """

    def __init__(self, *answer: Said) -> None:
        self.answer: tuple[Said, ...] = answer or WHOLE
        self.revision_now: str | GatewayError | None = "1"
        self.head: str | None = ""
        self.refusal: GatewayError | None = None
        self.streams: list[RevisedStream] = []
        self.asked_revision = 0
        self.may_tell = asyncio.Event()
        self.may_tell.set()
        self.listener: Told | None = None

    def tell(self, listener: Told) -> None:
        self.listener = listener

    async def revision(self, who: OnBehalfOf) -> str | None:
        self.asked_revision += 1
        said = self.revision_now
        await self.may_tell.wait()
        if isinstance(said, GatewayError):
            raise said
        return said

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> RevisedStream:
        if self.refusal is not None:
            raise self.refusal
        named = self.revision_now if self.head == "" else self.head
        assert not isinstance(named, GatewayError)
        stream = RevisedStream(named, self.answer)
        self.streams.append(stream)
        return stream


class World:
    """A core, the cache over it, and askers."""

    def __init__(self, *answer: Said, limit_bytes: int = 1 << 20, **limits: Any) -> None:
        self.core, self.clock = RevisedCore(*answer), HandClock()
        self.policy = "p1"
        self.kept = KeptAnswers(limit_bytes=limit_bytes, answer_limit_bytes=4096, ttl_s=60.0)
        port: Any = self.core
        self.revisions = CorpusRevisions(port, self.clock, self.kept.superseded)
        self.cache = AnswerCache(
            port,
            self.kept,
            self.revisions,
            self.clock,
            policy_revision=lambda: self.policy,
            spawn=self._spawn,
        )
        self.query = Query(port, self.clock, far_limits(**limits), self.cache)
        self.ticker = Ticker()
        self.tasks: set[asyncio.Task[Any]] = set()

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    @property
    def asked(self) -> int:
        """How often the core was asked a question."""
        return len(self.core.streams)

    async def ask(
        self,
        of: OnBehalfOf | None = None,
        body: Mapping[str, Any] = ASKED,
        cache_control: str = "",
        client: TakingClient | None = None,
    ) -> tuple[bytes, Answer]:
        """Asks and reads to the end; what came of it is kept, or not, when this returns."""
        client = client or TakingClient()
        answer = self.query.open(of or who(), body, cache_control=cache_control)
        async with answer:
            await Relay(answer, client, self.ticker).run()
        while self.tasks:
            await asyncio.wait(self.tasks)
        return b"".join(client.got), answer


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)
