"""The TypeScript client before a whole gateway: each case of ``conformance/``, and what breaks off.

It runs in Node, from the very files that the console loads in a browser.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from knowledge_base import AnswerIncomplete

from gateway.domain.stream_state import StreamState
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.observe import log_output

from .conformance import AS_GIVEN, Case, Pieces, cases
from .conftest import running_gateway
from .doors import Progress
from .keeping_core import KeepingCore, settled
from .raw import TIMEOUT_S
from .served import Served, served
from .test_conformance import World, by_settings, failing
from .test_endings import caught, core
from .test_logs import uncached
from .test_python_client import raised_by_loop, token_and_hold, under_way
from .typescript_client import TS_CLIENTS, NodeClients, TypeScriptClient, node_clients

__all__ = ["caught", "core", "uncached"]

EACH = 50
IN_ODD_PIECES = Pieces(chunk_bytes=7, write_bytes=5)


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[NodeClients]:
    async with node_clients(tmp_path) as running:
        yield running


async def replay(client: TypeScriptClient, case: Case, world: World) -> None:
    leaves = case.client["ends"] is None
    client.leaves_after = len(case.client["events"]) if leaves else None
    is_cut = client.name == "sse" and case in cases("spellings")
    for pieces in (AS_GIVEN, IN_ODD_PIECES) if is_cut else (AS_GIVEN,):
        await world.replay(client, case, pieces)


@pytest.mark.parametrize("way", TS_CLIENTS)
@pytest.mark.parametrize("group", by_settings())
async def test_each_case_is_told_as_it_says(
    group: str,
    way: str,
    clients: NodeClients,
    core: KeepingCore,
    caught: list[OpenStreams],
    uncached: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every event with its data, and then ``done`` or the error with its code."""
    async with running_gateway(core, **by_settings()[group][0].settings) as gateway:
        world = World(gateway, core, caught[-1])
        log_output.configure("debug", "json", world.lines.stream)
        monkeypatch.setattr(StreamState, "feed", failing(StreamState.feed, world))
        for case in by_settings()[group]:
            await replay(TS_CLIENTS[way](clients), case, world)


# --- leaving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["by itself", "is closed"])
async def test_leaving_reaches_the_core(how: str, clients: NodeClients, core: KeepingCore) -> None:
    """A loop that ends, and a stream that is closed from elsewhere; Node itself goes on."""
    token_and_hold(core)
    async with running_gateway(core) as gateway:
        bearer = await gateway.bearer()
        leaves_after = 1 if how == "by itself" else None
        asked = clients.ask("ask", gateway, bearer, query="hi", leaves_after=leaves_after)
        assert await asked.next() == {"id": asked.number, "head": True}
        assert (await asked.next())["event"][0] == "meta"
        if how == "is closed":
            assert (await asked.next())["event"][0] == "token"
            asked.leave()
        assert await asked.next() == {"id": asked.number, "ends": None}
        await settled(lambda: core.visits[0].left)


# --- a killed worker ------------------------------------------------------------------------------


async def told_by_typescript(clients: NodeClients, running: Served, progress: Progress) -> str:
    asked = clients.ask("ask", running, {"Authorization": f"Bearer {running.token}"}, query="hi")
    while "ends" not in (said := await asked.next()):
        progress.events += "event" in said
    return str(said["failed"])


async def test_fifty_streams_of_a_killed_worker_end_with_one_error_in_both_clients(
    clients: NodeClients, core: KeepingCore, tmp_path: Path
) -> None:
    """kill -9 in the middle: half of them are Python's, and all say that they are incomplete."""
    await under_way(core)
    async with served(core, tmp_path, 1) as running:
        progress = [Progress() for _ in range(EACH)]
        ours, pythons = progress[: EACH // 2], progress[EACH // 2 :]
        asking = asyncio.gather(
            asyncio.gather(*(told_by_typescript(clients, running, one) for one in ours)),
            asyncio.gather(*(raised_by_loop(running, one) for one in pythons)),
        )
        await asyncio.gather(*(one.until(1) for one in progress))
        os.kill(running.workers()[0], signal.SIGKILL)
        async with asyncio.timeout(TIMEOUT_S):
            by_typescript, by_python = await asking
    assert set(by_python) == {AnswerIncomplete}
    assert set(by_typescript) == {AnswerIncomplete.__name__}
