"""Finding cores by name: what is asked, how often, and what becomes of an answer that is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import dns.rcode
import pytest
from structlog.testing import capture_logs

from gateway.domain.balancing import Address
from gateway.http_client.discovery import Discovery, LookupFailed, Service, Source
from gateway.http_client.dns_lookup import DnsLookup

from .name_server import name_server
from .scripted import until

# --- the setting ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("http://core:8100", Source("url", "http://core:8100", "core", 8100)),
        ("https://core/v/", Source("url", "https://core/v", "core", 443)),
        ("http://core/dns+http", Source("url", "http://core/dns+http", "core", 80)),
        ("dns+http://core", Source("dns", "http://core", "core", 80)),
        ("dns+https://core/v", Source("dns", "https://core/v", "core", 443)),
        ("dns+http://core:8100", Source("dns", "http://core:8100", "core", 8100)),
        ("dns+http://127.0.0.1:81", Source("url", "http://127.0.0.1:81", "127.0.0.1", 81)),
        ("dns+http://[::1]:81", Source("url", "http://[::1]:81", "::1", 81)),
        ("srv+http://core.consul", Source("srv", "http://core.consul", "core.consul", 80)),
        (
            "srv+https://_http._tcp.core.kb/v",
            Source("srv", "https://core.kb/v", "_http._tcp.core.kb", 443),
        ),
    ],
)
def test_each_form_of_the_setting(text: str, source: Source) -> None:
    """Host and certificate are the name's; ``_service._proto.`` is only asked for."""
    assert Source.of(text) == source


# --- watching names ---------------------------------------------------------------------


class FakeLookup:
    """Answers, or raises, what stands in ``found``."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[Sequence[str] | Sequence[Service], float] | Exception] = {}
        self.asked: list[str] = []

    async def hosts(self, name: str) -> tuple[Sequence[str], float]:
        return self._answer(name)  # type: ignore[return-value]

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        return self._answer(name)  # type: ignore[return-value]

    def _answer(self, name: str) -> tuple[Sequence[str] | Sequence[Service], float]:
        self.asked.append(name)
        answer = self.found[name]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Sleeps:
    """Every sleep waits until the test lets time pass."""

    def __init__(self) -> None:
        self.lengths_s: list[float] = []
        self._sleepers: list[asyncio.Event] = []

    async def __call__(self, length_s: float) -> None:
        awake = asyncio.Event()
        self.lengths_s.append(length_s)
        self._sleepers.append(awake)
        await awake.wait()

    async def over(self) -> None:
        """All who sleep wake up; returns when as many sleep again."""
        sleepers, self._sleepers = self._sleepers, []
        for awake in sleepers:
            awake.set()
        await until(lambda: len(self._sleepers) == len(sleepers))


class World:
    def __init__(self, *urls: str) -> None:
        self.lookup = FakeLookup()
        self.sleeps = Sleeps()
        self.given: list[Sequence[Address]] = []
        self.discovery = Discovery(urls, self.lookup, self.given.append, sleep=self.sleeps)

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        await self.discovery.start(within_s=30)
        try:
            yield
        finally:
            await self.discovery.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}


def at(base_url: str, *hosts: str, port: int = 8100) -> list[Address]:
    return [Address(base_url, (host, port)) for host in hosts]


async def test_fixed_urls_are_given_at_once_and_need_no_task() -> None:
    """Nothing is looked up for them."""
    world = World("http://a:1", "http://b:2")
    async with world.started():
        assert world.given == [[Address("http://a:1"), Address("http://b:2")]]
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert world.lookup.asked == []


async def test_a_name_is_known_when_the_start_returns() -> None:
    """With the fixed ones beside it, in the order of the setting."""
    world = World("dns+http://core:8100", "http://b:2")
    world.lookup.found["core"] = (["10.0.0.2", "10.0.0.1"], 5)
    async with world.started():
        expected = [*at("http://core:8100", "10.0.0.1", "10.0.0.2"), Address("http://b:2")]
        assert world.given[-1] == expected


async def test_a_start_does_not_wait_for_a_name_server_for_ever() -> None:
    """The gateway starts without its cores as it runs without them."""
    asked = asyncio.Event()

    class Silent(FakeLookup):
        async def hosts(self, name: str) -> tuple[Sequence[str], float]:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    given: list[Sequence[Address]] = []
    discovery = Discovery(["dns+http://core"], Silent(), given.append)
    await discovery.start(within_s=0.01)
    await asyncio.wait_for(asked.wait(), 30)
    assert given == [[]]
    await discovery.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(("ttl_s", "wait_s"), [(5, 5), (30, 30), (300, 30), (0, 1), (0.2, 1)])
async def test_a_name_is_asked_for_again_at_its_ttl(ttl_s: float, wait_s: float) -> None:
    """At least every 30 s, at most every second."""
    world = World("dns+http://core:8100")
    world.lookup.found["core"] = (["10.0.0.1"], ttl_s)
    async with world.started():
        assert world.sleeps.lengths_s == [wait_s]
        world.lookup.found["core"] = (["10.0.0.3"], ttl_s)
        await world.sleeps.over()
        assert world.given[-1] == at("http://core:8100", "10.0.0.3")
        assert world.sleeps.lengths_s == [wait_s, wait_s]


async def test_an_answer_in_another_order_is_no_change() -> None:
    """Name servers turn it round each time."""
    world = World("dns+http://core")
    world.lookup.found["core"] = (["10.0.0.1", "10.0.0.2"], 5)
    async with world.started():
        times = len(world.given)
        world.lookup.found["core"] = (["10.0.0.2", "10.0.0.1"], 5)
        await world.sleeps.over()
        assert len(world.given) == times


async def test_another_weight_is_a_change() -> None:
    """Though the addresses are the same."""
    world = World("srv+http://core")
    for weight in (1, 5, 0):
        world.lookup.found["core"] = ([Service("10.0.0.1", 8100, 0, weight)], 5)
        if weight == 1:
            await world.discovery.start(within_s=30)
        else:
            await world.sleeps.over()
        assert [one.weight for one in world.given[-1]] == [max(weight, 1)]
    await world.discovery.aclose()


@pytest.mark.parametrize("failure", [LookupFailed("no answer"), ZeroDivisionError("a fault")])
async def test_a_name_that_does_not_resolve_keeps_its_last_addresses(failure: Exception) -> None:
    """The log says so each time; it is asked for again soon, then less often, and recovers."""
    world = World("dns+http://core:8100")
    world.lookup.found["core"] = (["10.0.0.1"], 5)
    with capture_logs() as logs:
        async with world.started():
            world.lookup.found["core"] = failure
            for _ in range(7):
                await world.sleeps.over()
            assert world.given[-1] == at("http://core:8100", "10.0.0.1")
            assert world.sleeps.lengths_s == [5, 1, 2, 4, 8, 16, 30, 30]
            world.lookup.found["core"] = (["10.0.0.9"], 5)
            await world.sleeps.over()
            assert world.given[-1] == at("http://core:8100", "10.0.0.9")
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert len(warnings) == 7
    assert warnings[0]["name"] == "core"
    assert warnings[0]["addresses_kept"] == 1
    assert str(failure) in warnings[0]["reason"]


async def test_a_failing_name_takes_no_other_away() -> None:
    """Each has its own addresses."""
    world = World("dns+http://a", "dns+http://b", "http://c")
    world.lookup.found.update(a=LookupFailed("gone"), b=(["10.0.0.1"], 5))
    async with world.started():
        assert world.given[-1] == [*at("http://b", "10.0.0.1", port=80), Address("http://c")]


# --- asking name servers ----------------------------------------------------------------


async def fails(ask: Callable[[], object]) -> str:
    with pytest.raises(LookupFailed) as caught:
        await ask()  # type: ignore[misc]
    return str(caught.value)


async def test_every_a_record_is_an_address_and_aliases_shorten_the_ttl() -> None:
    """The TTL is the shortest on the way."""
    async with name_server() as server:
        server.records["core.kb", "A"] = (20, ["10.0.0.1", "10.0.0.2"])
        server.records["alias.kb", "CNAME"] = (7, ["core.kb."])
        lookup = DnsLookup(["127.0.0.1"], server.port)
        for name, expected_s in (("core.kb", 20), ("alias.kb", 7)):
            hosts, ttl_s = await lookup.hosts(name)
            assert (sorted(hosts), ttl_s) == (["10.0.0.1", "10.0.0.2"], expected_s)


async def test_ipv6_is_asked_for_only_where_there_is_no_ipv4() -> None:
    """A core with both would be taken for two."""
    async with name_server() as server:
        server.records["both", "A"] = (20, ["10.0.0.1"])
        server.records["both", "AAAA"] = (20, ["fd00::1"])
        server.records["six", "AAAA"] = (20, ["fd00::1"])
        lookup = DnsLookup(["127.0.0.1"], server.port)
        assert await lookup.hosts("both") == (["10.0.0.1"], 20)
        assert await lookup.hosts("six") == (["fd00::1"], 20)


async def test_every_srv_record_is_an_address_with_its_port() -> None:
    """A target with two addresses is two; one that has none is left out."""
    async with name_server() as server:
        server.records["_http._tcp.core", "SRV"] = (
            9,
            ["0 3 8100 a.kb.", "0 0 8101 b.kb.", "5 1 8102 gone.kb."],
        )
        server.records["a.kb", "A"] = (20, ["10.0.0.1", "10.0.0.2"])
        server.records["b.kb", "AAAA"] = (4, ["fd00::1"])
        services, ttl_s = await DnsLookup(["127.0.0.1"], server.port).services("_http._tcp.core")
        assert sorted(services) == [
            Service("10.0.0.1", 8100, 0, 3),
            Service("10.0.0.2", 8100, 0, 3),
            Service("fd00::1", 8101, 0, 0),
        ]
        assert ttl_s == 4


async def test_answers_that_are_none_say_why() -> None:
    """No such name, no record of that kind, no service, a server that cannot."""
    async with name_server() as server:
        server.records["text", "TXT"] = (5, ["x"])
        server.records["none", "SRV"] = (5, ["0 0 0 ."])
        lookup = DnsLookup(["127.0.0.1"], server.port)
        assert "NXDOMAIN" in await fails(lambda: lookup.hosts("gone"))
        assert "no address" in await fails(lambda: lookup.hosts("text"))
        assert "no service" in await fails(lambda: lookup.services("none"))
        assert "no service" in await fails(lambda: lookup.services("text"))
        assert "LabelTooLong" in await fails(lambda: lookup.hosts("x" * 64))
        server.rcode = dns.rcode.SERVFAIL
        assert "NoNameservers" in await fails(lambda: lookup.hosts("text"))


async def test_an_answer_too_long_for_a_datagram_comes_by_tcp() -> None:
    """Hundreds of cores behind one name."""
    async with name_server() as server:
        hosts = [f"10.0.{n // 250}.{n % 250}" for n in range(500)]
        server.records["core", "A"] = (5, hosts)
        server.truncates = True
        found, _ = await DnsLookup(["127.0.0.1"], server.port).hosts("core")
        assert sorted(found) == sorted(hosts)
        assert [by for _, _, by in server.asked] == ["udp", "tcp"]


async def test_the_whole_way_from_the_name_server_to_the_addresses() -> None:
    """Real questions, a change, an outage, and no task left."""
    async with name_server() as server:
        server.records["core.kb", "A"] = (5, ["127.0.0.1"])
        server.records["_http._tcp.kb", "SRV"] = (30, ["0 1 8200 core.kb."])
        sleeps, given = Sleeps(), list[Sequence[Address]]()
        urls = ["dns+http://core.kb:8100", "srv+https://_http._tcp.kb"]
        lookup = DnsLookup(["127.0.0.1"], server.port)
        discovery = Discovery(urls, lookup, given.append, sleep=sleeps)
        await discovery.start(within_s=30)
        by_srv = at("https://kb", "127.0.0.1", port=8200)
        assert given[-1] == [*at("http://core.kb:8100", "127.0.0.1"), *by_srv]
        assert sleeps.lengths_s == [5, 5]
        server.rcode = dns.rcode.SERVFAIL
        await sleeps.over()
        server.rcode = None
        server.records["core.kb", "A"] = (5, ["127.0.0.2"])
        await sleeps.over()
        by_srv = at("https://kb", "127.0.0.2", port=8200)
        assert given[-1] == [*at("http://core.kb:8100", "127.0.0.2"), *by_srv]
        await discovery.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_in_the_middle_of_a_question_leaves_nothing() -> None:
    """A name server that says nothing holds up no shutdown."""
    async with name_server() as server:
        server.silent = True
        discovery = Discovery(
            ["dns+http://core.kb"], DnsLookup(["127.0.0.1"], server.port), lambda found: None
        )
        await discovery.start(within_s=0.01)
        await until(lambda: bool(server.asked))
        await discovery.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
