"""A core asked three times as much as it can answer, with the limit that learns and without.

The core works for real time, or there would be no queue; but nothing here asks how long something
took. Both gateways are flooded at the same time, and what is compared is how many others a question
or a read found before it: with so many servers and equal work, that is its time to head.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from .raw import exchange, request
from .served import Served, free_port, served
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk, stub_core

SERVERS = 4
WORK_S = 0.2
# Each asks again after its answer, or after the second that a refusal names: together three times
# what the core answers in a second.
CLIENTS = int(3 * SERVERS / WORK_S)
QUESTIONS = 160
ID = "01920000-0000-7000-8000-000000000001"
RECORD = {
    "document_id": ID,
    "filename": "a.pdf",
    "content_type": "application/pdf",
    "size": 3,
    "status": "indexed",
    "error": None,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "sha256": "0" * 64,
    "warnings": (),
}
# The stub core hangs up behind each answer: a connection kept for another question would break.
CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
ANSWER = STREAM_HEAD.replace(b"HTTP/1.1 200 OK\r\n", CLOSE) + chunk(META) + chunk(DONE) + END
FOUND = CLOSE + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


@dataclass
class SlowCore:
    """Does ``SERVERS`` things at once, in the order in which they came, documents among them.

    Attributes:
        found_before: how many others each question found there; ``read_behind`` the same of reads.
    """

    core: StubCore
    found_before: list[int] = field(default_factory=list)
    read_behind: list[int] = field(default_factory=list)
    learned: asyncio.Event = field(default_factory=asyncio.Event)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    servers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SERVERS))
    there: int = 0

    def __post_init__(self) -> None:
        self.core.script = self._answer

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.core.heads[-1].startswith("POST"):
            self._count_question()
            await self._work(WORK_S)
            writer.write(ANSWER)
        else:
            if "/documents/" in self.core.heads[-1]:
                self.read_behind.append(self.there)
            await self._work(0)
            body = json.dumps(RECORD).encode()
            writer.write(FOUND % (len(body), body))

    def _count_question(self) -> None:
        self.found_before.append(self.there)
        if len(self.found_before) >= QUESTIONS // 2:
            self.learned.set()
        if len(self.found_before) >= QUESTIONS:
            self.enough.set()

    async def _work(self, takes_s: float) -> None:
        self.there += 1
        try:
            async with self.servers:
                await asyncio.sleep(takes_s)
        finally:
            self.there -= 1

    @property
    def queue(self) -> float:
        """How many a question found before it, once the limit had some rounds to learn."""
        return mean(self.found_before[QUESTIONS // 2 :])


@dataclass
class Flood:
    """What came of it at one gateway."""

    running: Served
    core: SlowCore
    admin: tuple[str, int]
    questions: Counter[int] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        clients = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]
        await self.core.learned.wait()
        while not self.core.enough.is_set():
            answer = await self.running.get(f"/api/v1/documents/{ID}")
            self.reads["read" if answer.status == 200 else answer.code] += 1
        await asyncio.gather(*clients)

    async def shows(self) -> set[str]:
        """The labels of what there is in the metrics of the limit."""
        page = (await exchange(self.admin, request("GET", "/metrics"))).body.decode()
        return set(re.findall(r'gateway_core_(?:places|overloaded_total){.*?="(\w+)"', page))

    async def _ask(self) -> None:
        while not self.core.enough.is_set():
            answer = await self.running.send(self.running.question())
            self.questions[answer.status] += 1
            if answer.status == 503:
                assert answer.code == "OVERLOADED"
                await asyncio.sleep(float(answer.header("retry-after") or "nan"))


@asynccontextmanager
async def flood(folder: Path, limit: str) -> AsyncIterator[Flood]:
    """A gateway with one worker and a core of its own."""
    settings = {
        "CORE_ADAPTIVE_LIMIT": limit,
        # Every read and every question has the core's status, however late.
        "CORE_TIMEOUT": "60s",
        "STREAM_EARLY_HEAD": "60s",
        "ADMIN_LISTEN_PORT": str(admin := free_port()),
    }
    async with stub_core() as core, served(core, folder, workers=1, **settings) as running:
        yield Flood(running, SlowCore(core), ("127.0.0.1", admin))


async def test_a_flooded_core_answers_what_it_is_given_and_document_reads(tmp_path: Path) -> None:
    """Without the limit all wait behind all others, reads too."""
    for name in ("on", "off"):
        (tmp_path / name).mkdir()
    async with flood(tmp_path / "on", "true") as on, flood(tmp_path / "off", "false") as off:
        async with asyncio.timeout(300):
            await asyncio.gather(on.run(), off.run())
        assert await on.shows() >= {"limit", "question"}
        assert await off.shows() == set()

    assert on.core.queue < 5 * SERVERS < off.core.queue / 2
    assert mean(on.core.read_behind) < 5 * SERVERS < mean(off.core.read_behind) / 2
    assert set(on.questions) == {200, 503}
    assert set(off.questions) == {200}
    assert set(on.reads) == set(off.reads) == {"read"}
