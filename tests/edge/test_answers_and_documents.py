"""Kept answers over the real reference core, while documents come and go.

``GATEWAY_TEST_MIXED`` says how often five users ask; ten thousand times took a minute and a half.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from devstack.core.documents import Owner
from devstack.core.http_service import HttpService
from devstack.core.query import ExtractiveWriter
from devstack.core.service import Service
from gateway.domain.identity import User
from gateway.domain.sse import SseParser
from tests.unit.devstack.core.conftest import State

from .conftest import ENVIRONMENT, PASSWORD, Gateway, running_gateway
from .revised_core import served
from .sockets import Socket, signed_in
from .stub_core import StubCore
from .test_answer_cache import kept_by

MIXED = int(os.environ.get("GATEWAY_TEST_MIXED", "600"))
CHANGES = 12
QUESTIONS = ("Which code has the lighthouse?", "lighthouse code", "What is the lighthouse?")


@dataclass
class Documents:
    """One user's documents, as he knows them: which may be found, and which must be.

    A document may be found from when its upload began until its deletion was acknowledged; it must
    be from when he saw that it is indexed until its deletion began.
    """

    owner: Owner
    may: set[str] = field(default_factory=set)
    must: set[str] = field(default_factory=set)


class World:
    """A gateway that keeps answers, the reference core behind it, and its worker's registry."""

    def __init__(self, gateway: Gateway, worker: State) -> None:
        self.gateway, self.worker = gateway, worker
        self.bearers: dict[str, dict[str, str]] = {}
        self.said: Counter[str] = Counter()

    async def add(self, documents: Documents, name: str) -> None:
        """As the core's worker indexes it, in a process of its own; then its owner looks."""
        text = f"The lighthouse has the code {documents.owner.subject}-{name}."
        document_id = await asyncio.to_thread(self.worker.begin, documents.owner)
        documents.may.add(document_id)
        await asyncio.to_thread(self.worker.index, documents.owner, document_id, text)
        headers = self.bearers[documents.owner.subject]
        path = f"/api/v1/documents/{document_id}"
        seen = await self.gateway.client.get(path, headers=headers)
        assert seen.json()["status"] == "indexed", seen.text
        documents.must.add(document_id)

    async def remove(self, documents: Documents, document_id: str) -> None:
        documents.must.discard(document_id)
        headers = self.bearers[documents.owner.subject]
        path = f"/api/v1/documents/{document_id}"
        gone = await self.gateway.client.delete(path, headers=headers)
        assert gone.status_code == 204, gone.text
        documents.may.discard(document_id)

    async def ask(self, who: str, query: str, door: str, *, fresh: bool = False) -> list[str]:
        """The documents that an answer draws on."""
        headers = dict(self.bearers[who])
        if fresh:
            headers["Cache-Control"] = "no-cache"
        body = {"query": query, "stream": door == "stream"}
        answer = await self.gateway.client.post("/api/v1/query", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        self.said[answer.headers["Cache-Status"].split(";")[1].strip()] += 1
        if door == "json":
            return [str(one["document_id"]) for one in answer.json()["sources"]]
        events = SseParser().feed(answer.content)
        assert events[-1].type == "done"
        [sources] = [json.loads(one.data) for one in events if one.type == "sources"]
        return [str(one["document_id"]) for one in sources]

    async def ask_on(self, socket: Socket, query: str) -> list[str]:
        await socket.ask(query=query)
        told = await socket.answer()
        assert told[-1]["event"] == "done"
        [sources] = [one["data"] for one in told if one["event"] == "sources"]
        return [str(one["document_id"]) for one in sources]


@contextlib.asynccontextmanager
async def world(folder: Path, *people: tuple[str, str]) -> AsyncIterator[World]:
    """``people`` are names and tenants."""
    state, worker = State.opened(folder), State.opened(folder)
    made = Service(state.registry, state.reader, state.builder, ExtractiveWriter())
    service = HttpService(ENVIRONMENT["GATEWAY_CORE_TOKEN"], made)
    async with served(service.app()) as url:
        core = StubCore()
        core.url = url
        async with running_gateway(core, ANSWER_CACHE_TTL="1h") as gateway:
            # Which call was sent before which answer was heard: a clock that stands cannot say.
            kept_by(gateway).revisions.now = asyncio.get_running_loop().time
            made = World(gateway, worker)
            for name, tenant in people:
                gateway.users.users[name] = User(name, tenant, frozenset({"editor"}), PASSWORD)
                made.bearers[name] = await gateway.bearer(name)
            yield made
    for one in (state, worker):
        one.registry.close()


async def test_no_answer_is_of_documents_that_were(tmp_path: Path) -> None:
    """A new document makes the old answers unreachable at once, and so does a deletion.

    Whoever asks after he saw that a document is there, or gone, gets an answer in which it is, or
    is not; asked all the while, through two doors, as documents come and go.
    """
    async with world(tmp_path, ("ann", "acme")) as here:
        documents, over = Documents(Owner("acme", "ann")), asyncio.Event()

        async def ask_on_and_on(door: str) -> None:
            while not over.is_set():
                must, may = set(documents.must), set(documents.may)
                found = set(await here.ask("ann", QUESTIONS[0], door))
                # What came or went meanwhile may be in it or not.
                assert must & documents.must <= found, (door, found)
                assert found <= may | documents.may, (door, found)

        asking = [asyncio.create_task(ask_on_and_on(door)) for door in ("stream", "json")]
        random = Random(4)
        for n in range(CHANGES):
            if len(documents.must) > 3 or (documents.must and random.random() < 0.4):
                await here.remove(documents, random.choice(sorted(documents.must)))
            else:
                await here.add(documents, f"{n}")
            for _ in range(3):
                assert set(await here.ask("ann", QUESTIONS[0], "json")) == documents.must
        over.set()
        await asyncio.gather(*asking)
        assert here.said["hit"] > CHANGES
        assert here.said["fwd=miss"] >= CHANGES


async def test_five_users_never_meet_in_the_cache(tmp_path: Path) -> None:
    """They ask the same, by every door, some with ``no-cache``, while their documents change."""
    names = [("ann", "acme"), ("bea", "acme"), ("cid", "other"), ("dan", "other"), ("eve", "third")]
    async with world(tmp_path, *names) as here:
        theirs = {name: Documents(Owner(tenant, name)) for name, tenant in names}
        for documents in theirs.values():
            await here.add(documents, "first")
        async with contextlib.AsyncExitStack() as sockets:
            opened = [signed_in(here.gateway, name) for name, _ in names]
            at = [await sockets.enter_async_context(one) for one in opened]
            each = zip(names, at, strict=True)
            await asyncio.gather(
                *(one_of_five(here, theirs[name], socket) for (name, _), socket in each)
            )
        assert here.said["hit"] > here.said["fwd=miss"] > 0
        assert here.said["fwd=request"] > 0


async def one_of_five(here: World, documents: Documents, socket: Socket) -> None:
    random = Random(documents.owner.subject)
    name = documents.owner.subject
    for n in range(MIXED // 5):
        if random.random() < 0.02:
            if len(documents.must) > 2:
                await here.remove(documents, random.choice(sorted(documents.must)))
            else:
                await here.add(documents, f"{n}")
        query, door = random.choice(QUESTIONS), random.choice(["stream", "json", "socket"])
        if door == "socket":
            found = await here.ask_on(socket, query)
        else:
            found = await here.ask(name, query, door, fresh=random.random() < 0.05)
        assert set(found) == documents.must, (name, door, query)
