"""Several addresses of a core, over both protocols: balancing, ejection, retries, discovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import pytest

from gateway.adapters.limited_calls import CoreLimits, LimitedCalls
from gateway.domain.adaptive_limit import LimitRules
from gateway.domain.balancing import Address, Balancer
from gateway.errors import CoreTimeout, CoreUnavailable, GatewayError, Overloaded
from gateway.http_client.discovery import Discovery
from gateway.http_client.dns_lookup import DnsLookup
from tests.unit.http_client.name_server import name_server
from tests.unit.http_client.scripted import until

from .played_core import Call, Played, Protocol
from .test_core import WHO, ask, black_hole, relayed, times, unused_url
from .test_core_over_both import DONE, PAGE, TOKEN, over, refusing
from .test_core_streams_over_both import Reading

__all__ = ["over"]

QUESTION = {"query": "why?"}


async def answers(call: Call) -> None:
    if call.asked.call == "query":
        await call.head()
        await call.send(TOKEN, DONE)
    else:
        await call.reply(PAGE)


async def breaks(call: Call) -> None:
    """Whatever it is asked, its connection breaks."""
    await call.cut()


@asynccontextmanager
async def found(
    over: Protocol, *addresses: Address, **options: Any
) -> AsyncIterator[tuple[Any, Balancer]]:
    """A client of addresses that somebody else keeps up to date."""
    balancer = Balancer(Random(1), addresses)
    async with over.client(balancer, **options) as (client, _):
        yield client, balancer
    assert [balancer.streams(address) for address in addresses] == [0] * len(addresses)


async def listed(client: Any) -> None:
    await client.list_documents(WHO, limit=1, cursor=None)


def ejected(balancer: Balancer) -> tuple[Address, ...]:
    return balancer.ejected(asyncio.get_running_loop().time())


def nowhere(over: Protocol) -> Address:
    """An address at which nobody listens."""
    port = int(unused_url().rpartition(":")[2])
    return Address(f"{over.scheme}://core.test:1", ("127.0.0.1", port))


async def test_addresses_are_used_in_turn(over: Protocol) -> None:
    async with over.playing(answers) as a, over.playing(answers) as b:
        async with over.client([a.url, b.url]) as (client, _):
            for _ in range(6):
                await listed(client)
        assert (len(a.asked), len(b.asked)) == (3, 3)


async def test_a_refused_connection_is_tried_at_the_next_address(over: Protocol) -> None:
    """Nothing was sent, so a question may go elsewhere too; no client notices."""
    async with (
        over.playing(answers) as core,
        found(over, nowhere(over), core.address) as (client, balancer),
    ):
        for _ in range(4):
            assert (await ask(client))[1] == "done"
        await client.check()
        assert len(ejected(balancer)) == 1


async def test_a_question_goes_on_to_a_third_address(over: Protocol) -> None:
    """Two cores went away in the same moment."""
    gone = [nowhere(over) for _ in range(2)]
    async with (
        over.playing(answers) as core,
        found(over, *gone, core.address) as (client, _),
    ):
        assert (await ask(client))[1] == "done"


async def test_a_core_at_no_address_is_unavailable(over: Protocol) -> None:
    """For each kind of call."""
    async with found(over, nowhere(over)) as (client, _):
        for call in (client.open_query(WHO, QUESTION), listed(client), client.check()):
            with pytest.raises(CoreUnavailable):
                await call


async def test_a_safe_call_that_broke_is_made_once_more(over: Protocol) -> None:
    """A stale connection costs nobody an error; a core that always breaks is not asked for ever."""
    async with over.playing(breaks) as bad, over.playing(answers) as good:
        async with over.client([bad.url, good.url]) as (client, _):
            await listed(client)
        assert (len(bad.asked), len(good.asked)) == (1, 1)
        async with over.client([bad.url]) as (client, _):
            with pytest.raises(CoreUnavailable):
                await listed(client)
        assert len(bad.asked) == 3


async def test_a_question_that_broke_is_never_asked_twice(over: Protocol) -> None:
    """The first core may be answering it still."""
    async with over.playing(breaks) as bad, over.playing(answers) as other:
        async with over.client([bad.url, other.url]) as (client, _):
            with pytest.raises(CoreUnavailable):
                await client.open_query(WHO, QUESTION)
        assert (len(bad.asked), len(other.asked)) == (1, 0)


async def test_what_is_repeated_keeps_to_the_budget(over: Protocol) -> None:
    """When every address breaks every call, the load grows by a fifth, not by a factor."""
    async with over.playing(breaks) as a, over.playing(breaks) as b, over.playing(breaks) as c:
        async with found(over, a.address, b.address, c.address) as (client, _):
            for _ in range(50):
                with pytest.raises(CoreUnavailable):
                    await listed(client)
        assert 50 < sum(len(core.asked) for core in (a, b, c)) <= 50 + 3 + 10


async def test_a_stream_counts_at_its_address_until_its_end(over: Protocol) -> None:
    """So a new question goes where fewer streams are."""

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await call.left()

    async with (
        over.playing(script) as a,
        over.playing(script) as b,
        found(over, a.address, b.address) as (client, balancer),
    ):
        streams = [await client.open_query(WHO, QUESTION) for _ in range(6)]
        assert [balancer.streams(one.address) for one in (a, b)] == [3, 3]
        for stream in streams[::2]:
            await stream.aclose()
            await stream.aclose()
        assert {balancer.streams(one.address) for one in (a, b)} == {0, 3}
        streams += [await client.open_query(WHO, QUESTION) for _ in range(3)]
        assert [balancer.streams(one.address) for one in (a, b)] == [3, 3]
        for stream in streams:
            await stream.aclose()


@pytest.mark.parametrize(("status", "code"), [
    (502, "CORE_UNAVAILABLE"), (503, "OVERLOADED"), (504, "CORE_TIMEOUT"),
])  # fmt: skip
async def test_an_address_that_cannot_serve_is_ejected_after_three_answers(
    over: Protocol, status: int, code: str
) -> None:
    async with over.playing(refusing(status, code, None)) as bad, over.playing(answers) as good:
        async with found(over, bad.address, good.address) as (client, _):
            refused = 0
            for _ in range(20):
                try:
                    assert (await ask(client))[1] == "done"
                except GatewayError:
                    refused += 1
        assert (refused, len(bad.asked), len(good.asked)) == (3, 3, 17)


async def test_an_address_that_breaks_its_streams_is_ejected_after_three(over: Protocol) -> None:
    """A good head is not enough: it would draw all streams by ending them so fast."""

    read: list[asyncio.Event] = []

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await asyncio.wait_for(read[-1].wait(), 30)
        await call.cut()

    async def asked(client: Any) -> str:
        read.append(asyncio.Event())
        answer = await relayed(client, Reading(read[-1]))
        assert answer.end is not None
        return answer.end.outcome

    async with (
        over.playing(script) as bad,
        over.playing(answers) as good,
        found(over, bad.address, good.address) as (client, balancer),
    ):
        words = [await asked(client) for _ in range(12)]
        assert ejected(balancer) == (bad.address,)
    assert len([word for word in words if word != "done"]) == 3


async def test_clients_that_leave_take_no_core_away(over: Protocol) -> None:
    """Neither before its head nor after it."""

    async def script(call: Call) -> None:
        if len(call.played.asked) % 2:
            await call.head()
            await call.send(TOKEN)
        await call.left()

    async with (
        over.playing(script) as a,
        over.playing(script) as b,
        found(over, a.address, b.address) as (client, balancer),
    ):
        for number in range(20):
            leaving = asyncio.ensure_future(ask(client))
            await until(lambda number=number: len(a.asked) + len(b.asked) > number)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        assert ejected(balancer) == ()


async def test_a_silent_address_is_ejected_after_three_timeouts(over: Protocol) -> None:
    """A frozen core takes calls and answers nothing."""

    async def silent(call: Call) -> None:
        await call.left()

    short = times(call_s=0.5, head_s=30, connect_s=30)
    async with (
        over.playing(silent) as frozen,
        over.playing(answers) as good,
        found(over, frozen.address, good.address, timeouts=short) as (client, balancer),
    ):
        late = 0
        while not ejected(balancer):
            try:
                await listed(client)
            except CoreTimeout:
                late += 1
        assert late == 3


async def test_a_document_call_has_time_left_for_another_address(over: Protocol) -> None:
    """A machine that vanished refuses nothing: connecting gets half of the call's time."""
    long = times(connect_s=30, call_s=4)
    with black_hole() as url:
        port = int(url.rpartition(":")[2])
        hole = Address(f"{over.scheme}://core.test:1", ("127.0.0.1", port))
        async with (
            over.playing(answers) as core,
            found(over, hole, core.address, timeouts=long) as (client, balancer),
        ):
            await listed(client)
            assert ejected(balancer) == (hole,)


async def test_one_healthy_address_is_a_healthy_core(over: Protocol) -> None:
    """The others are gone, fail or say nothing: each of them is not waited for."""

    async def silent(call: Call) -> None:
        await call.left()

    async with (
        over.playing(silent) as frozen,
        over.playing(refusing(500, None, None)) as failing,
        over.playing(answers) as good,
    ):
        known = (nowhere(over), frozen.address, failing.address, good.address)
        async with found(over, *known) as (client, _):
            for _ in range(6):
                await client.check()
        async with found(over, nowhere(over), failing.address) as (client, _):
            with pytest.raises(CoreUnavailable):
                await client.check()
        short = times(check_s=0.3, connect_s=30)
        async with found(over, frozen.address, timeouts=short) as (client, _):
            with pytest.raises(CoreTimeout):
                await client.check()


async def test_a_core_that_comes_back_is_found_by_the_next_call(over: Protocol) -> None:
    """Its only address broke every connection; nothing waits for a pause to end."""
    state = {"script": breaks}

    async def script(call: Call) -> None:
        await state["script"](call)

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        for _ in range(3):
            with pytest.raises(CoreUnavailable):
                await client.open_query(WHO, QUESTION)
        state["script"] = answers
        await listed(client)


async def test_calls_follow_a_name_to_where_it_leads(over: Protocol) -> None:
    """From the name server's record to the connection, and on to the next record; a core found by
    name is called by its name."""
    asleep, awake = asyncio.Event(), asyncio.Event()

    async def sleep(_length_s: float) -> None:
        asleep.set()
        await awake.wait()
        awake.clear()

    def record(core: Played) -> tuple[int, list[str]]:
        return 5, [f"0 1 {core.wire.port} core.kb."]

    async with (
        over.playing(answers) as a,
        over.playing(answers) as b,
        name_server() as names,
        found(over) as (client, balancer),
    ):
        names.records["core.kb", "A"] = (5, ["127.0.0.1"])
        names.records["_kb._tcp.core.kb", "SRV"] = record(a)
        discovery = Discovery(
            [f"srv+{over.scheme}://_kb._tcp.core.kb"],
            DnsLookup(["127.0.0.1"], names.port),
            lambda addresses: balancer.update(addresses, asyncio.get_running_loop().time()),
            sleep=sleep,
        )
        await discovery.start(within_s=30)
        await listed(client)
        names.records["_kb._tcp.core.kb", "SRV"] = record(b)
        await asyncio.wait_for(asleep.wait(), 30)
        asleep.clear()
        awake.set()
        await asyncio.wait_for(asleep.wait(), 30)
        await listed(client)
        await discovery.aclose()
        assert (len(a.asked), len(b.asked)) == (1, 1)


async def test_a_question_too_many_is_overload_and_a_document_call_is_not(over: Protocol) -> None:
    """With a limit for each address: the core hears nothing of it."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        if call.asked.call != "query":
            await call.reply(PAGE)
            return
        await asyncio.wait_for(go_on.wait(), 30)
        await call.head()
        await call.send(DONE)

    async with over.playing(script) as core:
        balancer = Balancer(Random(1), [core.address])
        limits = CoreLimits(balancer, LimitRules(first=2.0))
        async with over.client(balancer, calls=partial(LimitedCalls, limits)) as (client, _):
            asking = [asyncio.ensure_future(client.open_query(WHO, QUESTION)) for _ in range(2)]
            await until(lambda: len(core.asked) == 2)
            with pytest.raises(Overloaded):
                await client.open_query(WHO, QUESTION)
            await listed(client)
            assert limits.places[1:] == (2, 0)
            go_on.set()
            for stream in await asyncio.gather(*asking):
                await stream.aclose()
            assert limits.places[1:] == (0, 0)
    assert core.calls.count("query") == 2
