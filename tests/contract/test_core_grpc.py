"""What is of gRPC alone: statuses, messages, deadlines, connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from gateway.adapters import core_grpc_messages as messages
from gateway.adapters.core_grpc_connections import CALLS_PER_CONNECTION
from gateway.adapters.core_proto import core_pb2 as pb
from gateway.domain.balancing import Address
from gateway.domain.sse import CONNECTED
from gateway.errors import CoreProtocolError, CoreTruncated, CoreUnavailable
from tests.unit.http_client.scripted import until

from .played_core import Call, Played, sse
from .played_grpc import GRPC, GrpcCall
from .test_core import WHO, Taken, ask, times
from .test_core_over_both import DONE, PAGE, TOKEN

QUESTION = {"query": "why?"}


@asynccontextmanager
async def grpc_core(
    script: Callable[[GrpcCall], Awaitable[None]], **options: Any
) -> AsyncIterator[tuple[Any, Played]]:
    async with (
        GRPC.playing(script) as core,  # type: ignore[arg-type]  # its calls are gRPC's
        GRPC.client([core.url], **options) as (client, _),
    ):
        yield client, core


async def test_a_message_without_events_is_a_sign_of_life() -> None:
    """A comment keeps the stream's clock, and a client skips it."""

    async def script(call: Call) -> None:
        await call.head()
        await call.send()
        await call.send(DONE)

    async with grpc_core(script) as (client, _):
        assert await ask(client) == (CONNECTED + b":\n\n" + sse(DONE), "done", None)


@pytest.mark.parametrize("event", [
    pb.Event(name="a\nb", data=b"{}"), pb.Event(name="a\rb", data=b"{}"),
    pb.Event(name="token", data=b"{}", id="1\n2"), pb.Event(data=b"{}", id="1\x002"),
])  # fmt: skip
async def test_an_event_that_no_stream_can_hold_is_the_cores_fault(event: pb.Event) -> None:
    """A line end in a name would begin another line: whatever stands there, it is not relayed."""

    async def script(call: GrpcCall) -> None:
        await call.send(TOKEN)
        await call.context.write(pb.QueryResponse(events=[event]))
        await call.send(DONE)

    async with grpc_core(script) as (client, _):
        data, word, code = await ask(client)
    assert (word, code) == ("core_failed", "CORE_PROTOCOL_ERROR")
    assert data.startswith(CONNECTED + sse(TOKEN))
    assert b"2" not in data.replace(sse(TOKEN), b"").partition(b"event: error")[0]


def test_line_ends_in_an_events_data_make_more_lines_of_data() -> None:
    """Between tokens of JSON they mean nothing, and what a client reads is the same JSON."""
    lines = messages.EventLines()
    for data in (b"[1,\n2]", b"[1,\r2]", b"[1,\r\n2]"):
        message = pb.QueryResponse(events=[pb.Event(name="x", data=data)])
        assert lines.of(message.SerializeToString()) == b"event: x\ndata: [1,\ndata: 2]\n\n"


def test_names_of_events_are_kept_within_bounds() -> None:
    """A core that makes up names costs no memory."""
    lines = messages.EventLines()
    for number in range(3 * messages.MOST_NAMES):
        message = pb.QueryResponse(events=[pb.Event(name=f"n{number}", data=b"{}")])
        assert lines.of(message.SerializeToString()) == b"event: n%d\ndata: {}\n\n" % number
    assert len(lines._beginnings) == messages.MOST_NAMES


async def test_bytes_that_are_no_message_are_the_cores_fault() -> None:
    """Over a server that sends any bytes."""
    server = grpc.aio.server()

    async def query(_request: bytes, context: Any) -> None:
        await context.write(b"\xff\xff")

    async def document(_request: bytes, _context: Any) -> bytes:
        return b"\xff\xff"

    handlers = {
        "Query": grpc.unary_stream_rpc_method_handler(query),
        "ListDocuments": grpc.unary_unary_rpc_method_handler(document),
    }
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("knowledge.core.v1.CoreService", handlers)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with GRPC.client([f"grpc://127.0.0.1:{port}"]) as (client, _):
            assert (await ask(client))[1:] == ("core_failed", "CORE_PROTOCOL_ERROR")
            with pytest.raises(CoreProtocolError):
                await client.list_documents(WHO, limit=1, cursor=None)
            # And one that knows no health.
            with pytest.raises(CoreUnavailable):
                await client.check()
    finally:
        await server.stop(None)


async def test_an_event_larger_than_the_limit_ends_the_stream() -> None:
    """A message that is too large is not held in memory; the client learns which limit it was."""

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await call.send(("token", {"text": "x" * 20_000}))
        await call.send(DONE)

    async with grpc_core(script, event_limit_bytes=16_384) as (client, _):
        data, _, code = await ask(client)
    assert code == "EVENT_TOO_LARGE"
    assert b"xxx" not in data


@pytest.mark.parametrize(
    ("status", "code", "ends", "word"),
    [
        (503, "OVERLOADED", "OVERLOADED", "core_error"),
        (500, "CONFLICT", "CORE_PROTOCOL_ERROR", "core_error"),
        (500, None, "CORE_TRUNCATED", "core_truncated"),
        (502, None, "CORE_TRUNCATED", "core_reset"),
        (504, None, "CORE_TRUNCATED", "core_truncated"),
    ],
)
async def test_a_status_in_mid_stream_ends_it(
    status: int, code: str | None, ends: str, word: str
) -> None:
    """With the code that the core says in the details, where it may say it; else it is cut."""

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await call.refuse(status, code)

    async with grpc_core(script) as (client, _):
        data, got_word, got_code = await ask(client)
    assert (got_word, got_code) == (word, ends)
    assert data.startswith(CONNECTED + sse(TOKEN))
    assert b"secret" not in data


async def test_a_head_that_holds_nothing_waits_for_the_first_event() -> None:
    """gRPC tells a refusal the same way: the status is still a plain one."""

    async def script(call: GrpcCall) -> None:
        await call.context.send_initial_metadata(())
        await call.refuse(400, "VALIDATION_ERROR")

    async with grpc_core(script) as (client, _):
        with pytest.raises(Exception, match="valid") as caught:
            await client.open_query(WHO, QUESTION)
    assert getattr(caught.value, "code", "") == "VALIDATION_ERROR"


async def test_the_core_is_told_the_deadline() -> None:
    """Of a document call what the call may take, of an answer what it was made with."""
    left: list[float] = []

    async def script(call: GrpcCall) -> None:
        left.append(call.context.time_remaining())
        if call.asked.call == "query":
            await call.send(DONE)
        else:
            await call.reply(PAGE)

    options = {"timeouts": times(call_s=50, connect_s=30), "answer_s": 900.0}
    async with grpc_core(script, **options) as (client, _):
        await client.list_documents(WHO, limit=1, cursor=None)
        await (await client.open_query(WHO, QUESTION)).aclose()
    # gRPC rounds them up on their way.
    assert [0 < left[0] <= 55, 800 < left[1] <= 950] == [True, True]


async def test_a_core_that_says_it_does_not_serve_is_unhealthy() -> None:
    async def script(call: GrpcCall) -> None:
        call.answer = health_pb2.HealthCheckResponse(
            status=health_pb2.HealthCheckResponse.NOT_SERVING
        )

    async with grpc_core(script) as (client, _):
        with pytest.raises(CoreUnavailable):
            await client.check()


async def test_five_hundred_streams_share_five_connections() -> None:
    """As many on each as most servers take, all whole, and the connections serve again."""
    count, go_on = 5 * CALLS_PER_CONNECTION, asyncio.Event()

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await go_on.wait()
        await call.send(DONE)

    async with grpc_core(script, limit=2 * count) as (client, core):
        asking = [asyncio.ensure_future(ask(client)) for _ in range(count)]
        await until(lambda: core.under_way == count)
        assert core.wire.connections == 5
        go_on.set()
        whole = (CONNECTED + sse(TOKEN) + sse(DONE), "done", None)
        assert await asyncio.gather(*asking) == [whole] * count
        assert await ask(client) == whole
        assert core.wire.connections == 5


async def test_a_core_whose_machine_vanished_is_noticed_by_pings() -> None:
    """In the middle of an answer, when nobody ever says that the connection is over."""

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await call.left()

    # Long enough for a busy machine, whose pings are late, too.
    near = {"keepalive_s": 1.0, "keepalive_answer_s": 3.0}
    async with grpc_core(script, **near) as (client, core):
        stream, taken = await client.open_query(WHO, QUESTION), Taken()
        stream.attach(taken)
        await until(lambda: bool(taken.data))
        core.wire.flows.clear()
        await until(lambda: bool(taken.end))
        assert isinstance(taken.end[0], CoreTruncated)
        await stream.aclose()


async def answers(call: Call) -> None:
    await call.reply(PAGE)


async def test_a_core_that_goes_away_in_order_costs_nobody_an_answer() -> None:
    """A server that stops says so (GOAWAY): what it answers comes to its end, new calls go to the
    one in its place."""
    go_on = asyncio.Event()

    async def old(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await asyncio.wait_for(go_on.wait(), 30)
        await call.send(DONE)

    async with (
        GRPC.playing(answers) as new,
        GRPC.playing(old) as core,
        GRPC.client([core.url]) as (client, _),
    ):
        stream, taken = await client.open_query(WHO, QUESTION), Taken()
        stream.attach(taken)
        await until(lambda: bool(taken.data))
        stopping = asyncio.ensure_future(core.server.stop(30))
        core.wire.target = new.wire.target
        await until_listed(client)
        go_on.set()
        await until(lambda: bool(taken.end))
        assert (taken.data, taken.end) == (sse(TOKEN) + sse(DONE), [None])
        await stream.aclose()
        await stopping
    assert new.calls[-1] == "list"


async def until_listed(client: Any) -> None:
    """The server's word that it goes away may still be on the way."""
    async with asyncio.timeout(30):
        while True:
            try:
                await client.list_documents(WHO, limit=1, cursor=None)
            except CoreUnavailable:
                continue
            return


async def test_connections_to_addresses_of_before_are_closed() -> None:
    """A name leads elsewhere: at once where nobody uses them, else with the last call."""

    async def script(call: Call) -> None:
        await call.head()
        await call.left()

    async with GRPC.playing(script) as core, GRPC.client([core.url]) as (client, _):
        connections = client._calls._way._connections
        stream = await client.open_query(WHO, QUESTION)
        connections.keep_only([Address("grpc://elsewhere:1")])
        assert core.wire.open == 1
        await stream.aclose()
        await until(lambda: core.wire.open == 0)
        assert connections.open_connections == 0


def test_a_field_that_the_protos_lack_is_never_lost() -> None:
    """The protos have what a client can ask; what they lack is told where it is written."""
    with pytest.raises(ValueError, match="temperature"):
        messages.question({"query": "why?", "temperature": 1})
    with pytest.raises(ValueError, match="messages"):
        messages.search({"query": "why?", "messages": []})


def test_the_protos_have_every_field_that_a_client_can_set() -> None:
    """A field that is new in the API is new in the protos."""
    from blueprints.query import QueryRequest
    from blueprints.search import SearchRequest

    asked = set(QueryRequest.__struct_fields__) - {"stream"} | {"messages"}
    assert asked == messages.QUESTION_FIELDS == set(pb.QueryRequest.DESCRIPTOR.fields_by_name)
    searched = set(SearchRequest.__struct_fields__)
    assert searched == messages.SEARCH_FIELDS == set(pb.SearchRequest.DESCRIPTOR.fields_by_name)
