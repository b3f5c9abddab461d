"""What happens to a whole gateway in the middle of fifty answers of each door, all at once.

``gateway serve`` with two workers, as it runs in production: its processes, real signals, its log.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .doors import DOORS, Progress, Told, all_open
from .fakes import PASSWORD
from .keeping_core import After, KeepingCore, Visit, keeping_core
from .raw import TIMEOUT_S
from .served import Served, served, until
from .stub_core import DONE, END, META, STREAM_HEAD, chunk
from .test_accounts_served import user

EACH = 50


@pytest.fixture
async def core() -> AsyncIterator[KeepingCore]:
    async with keeping_core() as running:
        yield running


class Fifty:
    """Answers of one door that are under way."""

    def __init__(self, door: str, running: Served) -> None:
        self.door = door
        self.progress = [Progress(blind=DOORS[door].blind) for _ in range(EACH)]
        credential = {"Authorization": f"Bearer {running.token}"}
        self._asking = [
            asyncio.ensure_future(DOORS[door].ask(running, credential, each))
            for each in self.progress
        ]

    async def told(self) -> list[Told]:
        async with asyncio.timeout(TIMEOUT_S):
            return await asyncio.gather(*self._asking)

    async def ends(self) -> Counter[str | None]:
        """How many ended with which code; ``None`` where the connection just broke off."""
        return Counter(told.ends for told in await self.told())


async def under_way(running: Served, core: KeepingCore) -> tuple[list[Fifty], asyncio.Event]:
    """Fifty of each door, of which every client has its first event; the event ends them well."""
    go_on = asyncio.Event()

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        while not (visit.left or go_on.is_set()):  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.02)
        await visit.send(chunk(DONE) + END, 1 << 20)
        return "keep"

    core.play = play
    fifties = [Fifty(door, running) for door in DOORS]
    await until(lambda: len(core.visits) == EACH * len(DOORS), lambda: running.log.read_text())
    for fifty in fifties:
        await asyncio.gather(*(progress.until(1) for progress in fifty.progress))
    return fifties, go_on


def ends_by_door(running: Served) -> Counter[tuple[str, str]]:
    lines = [line for line in running.lines("request") if "stream_end" in line]
    return Counter((line["door"], line["stream_end"]) for line in lines)


async def test_a_killed_worker_takes_its_own_answers_only(
    core: KeepingCore, tmp_path: Path
) -> None:
    """kill -9: theirs break off without an ending, and no client takes that for a whole answer; the
    others end well, and the worker's successor answers."""
    async with served(core, tmp_path, 2, **all_open()) as running:
        fifties, go_on = await under_way(running, core)
        os.kill(running.workers()[0], signal.SIGKILL)
        await running.said("worker died")
        await running.said("worker ready", 3)
        go_on.set()
        for fifty in fifties:
            ends = await fifty.ends()
            assert ends.keys() == {"done", None}, (fifty.door, ends)
        core.play = core.plays_well
        for door in DOORS:
            assert (await Fifty(door, running).ends()) == {"done": EACH}, door


async def test_a_stop_signal_ends_every_answer(core: KeepingCore, tmp_path: Path) -> None:
    """Each client is told ``DRAINING``; the processes end well, and the log has them all."""
    async with served(core, tmp_path, 2, **all_open()) as running:
        fifties, _ = await under_way(running, core)
        running.signal(signal.SIGTERM)
        for fifty in fifties:
            assert await fifty.ends() == {"DRAINING": EACH}, fifty.door
        assert await running.ended() == 0
        assert ends_by_door(running) == {(door, "draining"): EACH for door in DOORS}


async def test_a_revocation_ends_every_answer(core: KeepingCore, tmp_path: Path) -> None:
    """Of whoever lost his account, in both workers; nobody else's."""
    users = tmp_path / "users.json"
    add = ("add", "alice", "--tenant", "acme", "--role", "editor", "--password-stdin")
    await user(users, *add, stdin=f"{PASSWORD}\n")
    async with served(core, tmp_path, 2, **all_open(), USERS_FILE=str(users)) as running:
        roots, running.token = running.token, await running.log_in("alice")
        fifties, _ = await under_way(running, core)
        await user(users, "disable", "alice")
        for fifty in fifties:
            assert await fifty.ends() == {"CREDENTIAL_REVOKED": EACH}, fifty.door
        core.play, running.token = core.plays_well, roots
        for door in DOORS:
            assert (await Fifty(door, running).ends()) == {"done": EACH}, door
