"""The Python client before a whole gateway: each case of ``conformance/``, and what breaks off."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from knowledge_base import (
    AnswerIncomplete,
    AsyncKnowledgeBase,
    Event,
    KnowledgeBase,
    Meta,
    errors,
)

from gateway.domain.stream_state import StreamState
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.observe import log_output
from gateway.errors import by_code

from .conformance import AS_GIVEN, Case, Pieces, cases
from .conftest import Gateway, running_gateway
from .doors import Progress
from .keeping_core import After, KeepingCore, Visit, settled
from .python_client import LIMITS, PY_CLIENTS, PythonClient, base_url
from .raw import TIMEOUT_S
from .served import Served, served
from .stub_core import META, STREAM_HEAD, TOKEN, chunk
from .test_conformance import World, by_settings, failing
from .test_endings import caught, core
from .test_logs import uncached

__all__ = ["caught", "core", "uncached"]

EACH = 50
IN_ODD_PIECES = Pieces(chunk_bytes=7, write_bytes=5)


def test_each_code_has_an_exception() -> None:
    """One that the gateway can say, and that the client does not know, would have no type."""
    assert set(errors.BY_CODE) == set(by_code())


async def replay(client: PythonClient, case: Case, world: World) -> None:
    """How bytes are cut is the same for both, and is tried with asyncio."""
    leaves = case.client["ends"] is None
    client.leaves_after = len(case.client["events"]) if leaves else None
    is_cut = client is PY_CLIENTS["async stream"] and case in cases("spellings")
    for pieces in (AS_GIVEN, IN_ODD_PIECES) if is_cut else (AS_GIVEN,):
        await world.replay(client, case, pieces)


@pytest.mark.parametrize("way", PY_CLIENTS)
@pytest.mark.parametrize("group", by_settings())
async def test_each_case_is_told_as_it_says(
    group: str,
    way: str,
    core: KeepingCore,
    caught: list[OpenStreams],
    uncached: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every event with its data, and then ``Done`` or the exception of its code."""
    chosen = [case for case in by_settings()[group] if may_play(way, case)]
    async with running_gateway(core, **by_settings()[group][0].settings) as gateway:
        world = World(gateway, core, caught[-1])
        log_output.configure("debug", "json", world.lines.stream)
        monkeypatch.setattr(StreamState, "feed", failing(StreamState.feed, world))
        for case in chosen:
            await replay(PY_CLIENTS[way], case, world)


def may_play(way: str, case: Case) -> bool:
    """Who waits for a whole answer without a loop leaves with his process, and not before."""
    return way != "sync whole" or case.client["ends"] is not None


# --- leaving --------------------------------------------------------------------------------------


Leave = Callable[[Gateway, str], Awaitable[None]]


def token_and_hold(core: KeepingCore) -> None:
    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META) + chunk(TOKEN), 1 << 20)
        await visit.until_left()
        return "close"

    core.play = play


async def breaks(gateway: Gateway, token: str) -> None:
    async with AsyncKnowledgeBase(base_url(gateway), token=token, **LIMITS) as kb:
        async for event in kb.ask("hi"):
            assert isinstance(event, Meta)
            break
        await settled(lambda: gateway.core.visits[0].left)  # type: ignore[attr-defined]


async def fails(gateway: Gateway, token: str) -> None:
    async with AsyncKnowledgeBase(base_url(gateway), token=token, **LIMITS) as kb:

        async def ask() -> None:
            async for _ in kb.ask("hi"):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await ask()
        await settled(lambda: gateway.core.visits[0].left)  # type: ignore[attr-defined]


async def is_cancelled(gateway: Gateway, token: str) -> None:
    async with AsyncKnowledgeBase(base_url(gateway), token=token, **LIMITS) as kb:
        seen: list[Event] = []

        async def ask() -> None:
            async for event in kb.ask("hi"):
                seen.append(event)

        task = asyncio.ensure_future(ask())
        await settled(lambda: len(seen) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(lambda: gateway.core.visits[0].left)  # type: ignore[attr-defined]
        assert (await kb.me()).subject == "alice"


async def closes(gateway: Gateway, token: str) -> None:
    async with AsyncKnowledgeBase(base_url(gateway), token=token, **LIMITS) as kb:
        answer = kb.ask("hi")
        assert isinstance(await anext(answer), Meta)
        await answer.aclose()
        await settled(lambda: gateway.core.visits[0].left)  # type: ignore[attr-defined]
        assert [event async for event in answer] == []


async def breaks_without_a_loop(gateway: Gateway, token: str) -> None:
    with KnowledgeBase(base_url(gateway), token=token, **LIMITS) as kb:

        def ask() -> None:
            for event in kb.ask("hi"):
                assert isinstance(event, Meta)
                break

        await asyncio.to_thread(ask)
        await settled(lambda: gateway.core.visits[0].left)  # type: ignore[attr-defined]


async def closes_without_a_loop(gateway: Gateway, token: str) -> None:
    with KnowledgeBase(base_url(gateway), token=token, **LIMITS) as kb:

        def ask() -> None:
            answer = kb.ask("hi")
            assert isinstance(next(answer), Meta)
            answer.close()
            assert list(answer) == []

        await asyncio.to_thread(ask)
        await settled(lambda: gateway.core.visits[0].left)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "leave",
    [breaks, fails, is_cancelled, closes, breaks_without_a_loop, closes_without_a_loop],
    ids=lambda leave: leave.__name__,
)
async def test_leaving_reaches_the_core(leave: Leave, core: KeepingCore) -> None:
    """While the client itself stays open: it is the answer's connection that ends."""
    token_and_hold(core)
    async with running_gateway(core) as gateway:
        async with asyncio.timeout(TIMEOUT_S):
            await leave(gateway, await gateway.token())


async def test_connections_serve_again(core: KeepingCore) -> None:
    """What was read to its end needs no new connection; what was left has none that stays open."""
    async with running_gateway(core) as gateway:
        opened = len(gateway.server.connections)
        async with AsyncKnowledgeBase(
            base_url(gateway), token=await gateway.token(), **LIMITS
        ) as kb:
            for _ in range(5):
                await kb.ask("hi").collect()
            await kb.me()
            assert len(gateway.server.connections) <= opened + 1 + 1
        await settled(lambda: len(gateway.server.connections) <= opened + 1)


# --- a killed worker ------------------------------------------------------------------------------


async def under_way(core: KeepingCore) -> None:
    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        await visit.until_left()
        return "close"

    core.play = play


async def fifty(way: str, running: Served, progress: list[Progress]) -> list[type[BaseException]]:
    """What each of them raises in the end."""

    async def ask(one: Progress) -> type[BaseException]:
        if way == "async stream":
            return await raised_by_loop(running, one)
        return await asyncio.to_thread(raised, running, one)

    return await asyncio.gather(*(ask(one) for one in progress))


async def raised_by_loop(running: Served, progress: Progress) -> type[BaseException]:
    async with AsyncKnowledgeBase(base_url(running), token=running.token, **LIMITS) as kb:
        try:
            async for _ in kb.ask("hi"):
                progress.events += 1
        except errors.KnowledgeBaseError as exc:
            return type(exc)
    raise AssertionError("it ended well")


def raised(running: Served, progress: Progress) -> type[BaseException]:
    with KnowledgeBase(base_url(running), token=running.token, **LIMITS) as kb:
        try:
            for _ in kb.ask("hi"):
                progress.events += 1
        except errors.KnowledgeBaseError as exc:
            return type(exc)
    raise AssertionError("it ended well")


async def test_fifty_streams_of_a_killed_worker_end_with_one_error(
    core: KeepingCore, tmp_path: Path
) -> None:
    """kill -9 in the middle: each is told that its answer is incomplete, in both clients."""
    await under_way(core)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(EACH))
    async with served(core, tmp_path, 1) as running:
        for number, way in enumerate(("sync stream", "async stream"), 1):
            progress = [Progress() for _ in range(EACH)]
            asking = asyncio.ensure_future(fifty(way, running, progress))
            await asyncio.gather(*(one.until(1) for one in progress))
            os.kill(running.workers()[0], signal.SIGKILL)
            async with asyncio.timeout(TIMEOUT_S):
                assert set(await asking) == {AnswerIncomplete}, way
            await running.said("worker ready", number + 1)
