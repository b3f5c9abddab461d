"""An open stream is counted while it runs and not a moment longer, in whatever way it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from devstack.components import Running
from gateway.domain.limits import LEASE_S
from gateway.edge.http.pipeline import Pipeline
from tests.components import running_redis
from tests.contract.test_redis_away import ask

from .conftest import Gateway, Streaming, running_gateway
from .raw import TIMEOUT_S, read_answer, request, reset
from .served import Served, served
from .sockets import opened
from .stub_core import DONE, META, STREAM_HEAD, StubCore, chunk

OPEN = 200
# All clients here have one address, where those of a killed worker are missed a little later.
ADDRESS = {"CONNECTIONS_PER_ADDRESS": str(10 * OPEN)}

# --- A killed worker ------------------------------------------------------------------------------


async def open_streams(running: Served, most: int) -> list[Streaming]:
    """Asks until it is refused, or ``most`` are open."""
    found: list[Streaming] = []
    while len(found) < most:
        streaming = await running.asking()
        if streaming.status == 429:
            streaming.writer.close()
            return found
        assert streaming.status == 200
        await streaming.until(META)
        found.append(streaming)
    return found


def close_all(streams: list[Streaming]) -> None:
    for streaming in streams:
        streaming.writer.close()


async def cut(streams: list[Streaming]) -> list[Streaming]:
    """Those whose worker is gone: nothing else ends them."""
    for _ in range(10):
        await asyncio.sleep(0)
    return [one for one in streams if one.reader.at_eof() or one.reader.exception() is not None]


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_streams_of_a_killed_worker_make_room_at_once(
    core: StubCore, tmp_path: Path, workers: int
) -> None:
    """200 are open, their limit; the worker of all or some is killed: as many new ones are let in,
    and not one more. When all have ended none is counted."""
    core.holds(STREAM_HEAD, chunk(META))
    limits = f"query:run {OPEN} open per subject"
    async with served(core, tmp_path, workers, LIMITS=limits, **ADDRESS) as running:
        streams = await open_streams(running, 2 * OPEN)
        assert len(streams) == OPEN
        os.kill(running.workers()[0], signal.SIGKILL)
        await running.said("worker died")
        after = await open_streams(running, 2 * OPEN)
        assert len(after) == len(await cut(streams)) > 0
        close_all([*streams, *after])
        again: list[Streaming] = []
        async with asyncio.timeout(TIMEOUT_S):
            while len(again) < OPEN:
                again += await open_streams(running, OPEN - len(again))
        assert await open_streams(running, 1) == []
        close_all(again)


async def leases_in(redis: Running) -> list[str]:
    return [
        one for one in (await ask(redis.launch.address, "KEYS", "kbg:l:*")).split() if "kbg:" in one
    ]


async def test_with_redis_the_streams_of_a_killed_worker_make_room_in_time(
    core: StubCore, tmp_path: Path
) -> None:
    """Nobody tells Redis that a worker is dead: its leases end by themselves, 15 s after the last
    time they were renewed. Those of the living are renewed meanwhile, and none is left when the
    last stream has ended."""
    core.holds(STREAM_HEAD, chunk(META))
    settings = {"LIMITS": f"query:run {OPEN} open per subject", **ADDRESS}
    async with running_redis(tmp_path) as redis:
        settings["REDIS_URL"] = f"redis://{redis.launch.address}"
        async with served(core, tmp_path, 2, **settings) as running:
            streams = await open_streams(running, 2 * OPEN)
            assert len(streams) == OPEN
            os.kill(running.workers()[0], signal.SIGKILL)
            await running.said("worker died")
            killed_at = asyncio.get_running_loop().time()
            lost = len(await cut(streams))
            assert lost > 0
            after: list[Streaming] = []
            refused_s = 0.0
            while len(after) < lost:
                asked_at = asyncio.get_running_loop().time()
                if let_in := await open_streams(running, 1):
                    after += let_in
                    continue
                # Each that is asked later is let in; a second for the machine.
                assert asked_at < killed_at + LEASE_S + 1.0
                refused_s = asked_at - killed_at
            print(f"{lost} of {OPEN} lost; the last refusal was {refused_s:.1f} s after the kill")
            assert await open_streams(running, 1) == []
            assert await leases_in(redis)
            close_all([*streams, *after])
            async with asyncio.timeout(TIMEOUT_S):
                while await leases_in(redis):  # noqa: ASYNC110  # another process takes them out
                    await asyncio.sleep(0.05)


# --- Every way in which a stream ends, or never begins --------------------------------------------

Way = Callable[[Gateway], Awaitable[None]]
QUESTION = b'{"query": "hi"}'


async def put(gateway: Gateway, body: bytes, *, length: int | None = None) -> Streaming:
    """A question on a socket of its own, whose head is not waited for; some of its body if it says
    a greater length."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    headers = {"Content-Type": "application/json", **await gateway.bearer()}
    asked = request("POST", "/api/v1/query", headers, body)
    if length is not None:
        asked = asked.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % length)
    writer.write(asked)
    return Streaming(reader, writer, 0, {})


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not true():  # noqa: ASYNC110  # it happens on this loop
            await asyncio.sleep(0.001)


async def held(gateway: Gateway) -> None:
    await until(lambda: bool(gateway.state.held))


async def answered_well(gateway: Gateway) -> None:
    streaming = await gateway.asking()
    assert (await streaming.rest()).endswith(DONE)
    streaming.writer.close()


async def answered_as_json(gateway: Gateway) -> None:
    streaming = await put(gateway, b'{"query": "hi", "stream": false}')
    assert (await read_answer(streaming.reader)).status == 200
    streaming.writer.close()


async def left_while_it_streams(gateway: Gateway) -> None:
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    await held(gateway)
    streaming.writer.close()


async def reset_while_it_streams(gateway: Gateway) -> None:
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    await held(gateway)
    reset(streaming.writer)


async def left_before_the_head(gateway: Gateway) -> None:
    gateway.core.holds()
    streaming = await put(gateway, QUESTION)
    await held(gateway)
    streaming.writer.close()


async def left_amid_its_body(gateway: Gateway) -> None:
    streaming = await put(gateway, QUESTION, length=100)
    await held(gateway)
    streaming.writer.close()


async def reset_amid_its_body(gateway: Gateway) -> None:
    streaming = await put(gateway, QUESTION, length=100)
    await held(gateway)
    reset(streaming.writer)


async def refused_for_its_body(gateway: Gateway) -> None:
    streaming = await put(gateway, b'{"no": "query"}')
    assert (await read_answer(streaming.reader)).status == 400
    streaming.writer.close()


async def refused_while_its_body_still_comes(gateway: Gateway) -> None:
    """The connection stays open: what is refused is not held until its client has sent it all."""
    headers = {"Content-Type": "text/plain", **await gateway.bearer()}
    reader, writer = await asyncio.open_connection(*gateway.address)
    asked = request("POST", "/api/v1/query", headers, QUESTION)
    writer.write(asked.replace(b"Content-Length: 15", b"Content-Length: 99"))
    assert (await read_answer(reader)).status == 415
    await until(lambda: not gateway.state.held)
    writer.close()


async def failed_at_the_core(gateway: Gateway) -> None:
    gateway.core.sends(b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n")
    streaming = await put(gateway, QUESTION)
    assert (await read_answer(streaming.reader)).status == 502
    streaming.writer.close()


async def cut_by_the_core(gateway: Gateway) -> None:
    gateway.core.sends(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    assert b"event: error" in await streaming.rest()
    streaming.writer.close()


async def pipelined(gateway: Gateway) -> None:
    """Two on one connection, one refused and one answered; it stays open."""
    headers = {"Content-Type": "application/json", **await gateway.bearer()}
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("POST", "/api/v1/query", headers, b'{"no": 1}'))
    writer.write(request("POST", "/api/v1/query", headers, QUESTION))
    writer.write(request("GET", "/healthz"))
    assert [(await read_answer(reader)).status for _ in range(3)] == [400, 200, 200]
    await until(lambda: not gateway.state.held)
    writer.close()


async def ended_by_a_drain(gateway: Gateway) -> None:
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    await held(gateway)
    gateway.application.lifecycle.cut_short()
    await gateway.application.lifecycle.drain()
    assert b"DRAINING" in await streaming.rest()
    streaming.writer.close()


async def cancelled_on_a_socket(gateway: Gateway) -> None:
    gateway.core.holds(STREAM_HEAD, chunk(META))
    async with opened(gateway, await gateway.bearer()) as socket:
        await socket.ask("1")
        await held(gateway)
        await socket.say(type="cancel", id="1")
        assert (await socket.answer())[-1]["event"] == "cancelled"
        await until(lambda: not gateway.state.held)


async def refused_on_a_socket(gateway: Gateway) -> None:
    async with opened(gateway, await gateway.bearer()) as socket:
        await socket.ask("1", "")
        assert (await socket.error())["code"] == "VALIDATION_ERROR"
        await until(lambda: not gateway.state.held)


async def left_with_its_socket(gateway: Gateway) -> None:
    gateway.core.holds(STREAM_HEAD, chunk(META))
    async with opened(gateway, await gateway.bearer()) as socket:
        await socket.ask("1")
        await held(gateway)


WAYS: list[Way] = [
    answered_well,
    answered_as_json,
    left_while_it_streams,
    reset_while_it_streams,
    left_before_the_head,
    left_amid_its_body,
    reset_amid_its_body,
    refused_for_its_body,
    refused_while_its_body_still_comes,
    failed_at_the_core,
    cut_by_the_core,
    pipelined,
    ended_by_a_drain,
    cancelled_on_a_socket,
    refused_on_a_socket,
    left_with_its_socket,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_whatever_becomes_of_a_question_it_is_not_counted_afterwards(
    core: StubCore, way: Way
) -> None:
    """Its lease was asked for before its body was read, and is back a moment after its end."""
    limits = "query:run 2 open per subject, 5 open per tenant"
    async with running_gateway(core, LIMITS=limits, BODY_TIMEOUT="10m") as gateway:
        await way(gateway)
        await until(lambda: not gateway.state.held)
        assert any(leases for _, leases in gateway.state.calls)


async def test_an_answer_that_cannot_be_made_is_not_counted_either(
    core: StubCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours behind the handler: the request is over all the same."""

    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Pipeline, "on_response", fails)
    async with running_gateway(core, LIMITS="query:run 2 open per subject") as gateway:
        streaming = await put(gateway, b'{"no": "query"}')
        await until(lambda: bool(gateway.state.calls))
        await until(lambda: not gateway.state.held)
        streaming.writer.close()
