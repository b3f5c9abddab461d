"""What every row of ``ENDINGS`` leaves of a socket, and of the core's connection.

What is told of each, in all spellings and pieces, is in ``test_conformance.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

import pytest

from gateway.domain.sse import SseParser
from gateway.domain.stream import StreamOutcome
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.observe import log_output

from .conftest import running_gateway
from .keeping_core import KeepingCore
from .raw import TIMEOUT_S
from .sockets import Socket, signed_in
from .test_endings import (
    CASES,
    Case,
    Shape,
    World,
    assert_core_saw,
    caught,
    core,
    playing,
    poisonous,
)
from .test_logs import Lines, uncached

__all__ = ["caught", "core", "poisonous", "uncached"]

BOTH_LOOPS = True


def messages_of(events: bytes) -> list[tuple[str, object]]:
    parser = SseParser()
    found = parser.feed(events)
    # What a lone CR ends is an event only once it is known that no LF follows.
    found += parser.finish() if events.endswith(b"\r") else []
    return [(event.type, json.loads(event.data)) for event in found]


async def follow(world: World, case: Case, shape: Shape, socket: Socket) -> str | None:
    """One question to its end; gives its request id, where the client was told."""
    expected = messages_of(case.forwarded)
    await socket.ask("q")
    seen = []
    for _ in expected:
        message = await socket.next()
        seen.append((message["event"], message["data"]))
    assert seen == expected
    visit = await world.core.visit(world.asked)
    visit.go.set()
    if case.act is not None:
        case.act(world)
    if case.tells is None:
        socket.of.transport.abort()
        await assert_core_saw(world, case, shape, visit)
        return None
    request_id = None
    if case.tells != "done":
        message = await socket.next()
        assert message["event"] == "error"
        assert message["data"]["error"]["code"] == case.tells
        assert "secret" not in json.dumps(message)
        request_id = message["data"]["error"]["details"]["request_id"]
    await assert_core_saw(world, case, shape, visit)
    return request_id


async def assert_alive_or_closed(case: Case, socket: Socket) -> None:
    """What ends who asks ends the socket; whatever else happens to an answer, it lives."""
    code = {"TOKEN_EXPIRED": 4401, "CREDENTIAL_REVOKED": 4401, "FORBIDDEN": 4403}.get(
        case.tells or ""
    )
    if code is not None:
        assert await socket.closed() == (code, case.tells)
    elif case.tells is not None:
        async with asyncio.timeout(TIMEOUT_S):
            await (await socket.of.ping())


def asked_lines(lines: Lines) -> Iterator[dict[str, object]]:
    """Of the questions that came over a socket."""
    for line in lines.requests():
        if line["door"] == "ws" and line["method"] == "POST":
            yield line


async def logged(lines: Lines) -> dict[str, object]:
    """The line of the question."""
    async with asyncio.timeout(TIMEOUT_S):
        while not (found := list(asked_lines(lines))):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return found[0]


async def check(core: KeepingCore, caught: list[OpenStreams], case: Case) -> None:
    shape = case.shapes[0]
    async with running_gateway(core, **case.settings) as gateway:
        lines = Lines()
        log_output.configure("debug", "json", lines.stream)
        world = World(gateway, core, caught[-1], lines, len(core.visits))
        core.play = playing(case, shape)
        async with signed_in(gateway) as socket:
            request_id = await follow(world, case, shape, socket)
            line = await logged(lines)
            assert line["stream_end"] == case.outcome.value
            told = None if case.tells in (None, "done") else case.tells
            assert line.get("error") == told
            assert request_id in (None, line["request_id"])
            await assert_alive_or_closed(case, socket)
        with contextlib.suppress(TimeoutError):
            await caught[-1].wait_until_none(TIMEOUT_S)
        assert len(caught[-1]) == 0


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_each_ending_is_what_the_table_says(
    case: Case,
    core: KeepingCore,
    caught: list[OpenStreams],
    uncached: None,
    request: pytest.FixtureRequest,
) -> None:
    if case.outcome is StreamOutcome.INTERNAL:
        request.getfixturevalue("poisonous")
    await check(core, caught, case)
