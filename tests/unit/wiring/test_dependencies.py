"""A dependency is declared once, and everything that lists dependencies has it.

The proof is a toy: its declaration is added to ``DEPENDENCIES``, and nothing else is changed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from gateway.commands import cli
from gateway.edge.tasks import Tasks
from gateway.errors import StorageUnavailable
from gateway.settings import Settings
from gateway.telemetry import samples
from gateway.telemetry.tracing import TRACEPARENT, Span
from gateway.wiring import dependencies
from gateway.wiring.dependency import (
    Building,
    Built,
    BuiltDependencies,
    Dependency,
    build_all,
)
from gateway.wiring.reload import needing_restart
from gateway.wiring.services import Services, build_services
from tests.edge.conftest import running_gateway
from tests.edge.raw import exchange, request
from tests.edge.stub_core import stub_core

from ..valid_settings import REQUIRED, load

LOCAL = {
    "GATEWAY_SERVICES_CORE": "http://127.0.0.1:9",
    "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:9",
    "GATEWAY_S3_ENDPOINT": "http://127.0.0.1:9",
    "GATEWAY_USERS_FILE": "",
    "GATEWAY_ADMIN_USERNAME": "admin",
    "GATEWAY_ADMIN_PASSWORD": "the admin's password",
}


@dataclass
class Slots:
    limit: int = 5
    in_use: int = 2
    waiting: int = 1


@dataclass
class Toy:
    """Something outside with a pool of connections, and what happened to it."""

    slots: Slots = field(default_factory=Slots)
    idle_connections: int = 3
    open_connections: int = 4
    problem: Exception | None = None
    wrong: list[str] = field(default_factory=list)
    region: str = ""
    closed: list[str] = field(default_factory=list)
    waits: list[asyncio.Event] = field(default_factory=list)

    async def check(self) -> None:
        if self.problem is not None:
            raise self.problem

    async def play(self) -> str | None:
        return TRACEPARENT.get()

    async def faults(self) -> list[str]:
        if self.waits:
            await self.waits.pop().wait()
        return self.wrong

    async def reload(self, settings: Settings) -> None:
        self.region = settings.s3_region

    def declared(self, name: str = "toy") -> Dependency[Toy]:
        async def build(building: Building) -> Built[Toy]:
            building.closing.callback(self.closed.append, name)
            sources = (partial(samples.pool, name, self),)
            return Built(self, self.check, sources, self.faults, self.reload)

        settings = frozenset({"s3_region"})
        return Dependency(name, build, frozenset({"play"}), pooled=True, reloaded=settings)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    found = Toy()
    everything = (*dependencies.DEPENDENCIES, found.declared())
    monkeypatch.setattr(dependencies, "DEPENDENCIES", everything)
    return found


@pytest.fixture
async def services(toy: Toy) -> AsyncIterator[Services]:
    """As a worker builds them; nothing listens at any address."""
    tasks = Tasks()
    built = await build_services(load(**LOCAL), tasks)
    yield built
    await tasks.stop()
    await built.aclose()


async def test_it_appears_in_readiness_and_in_the_metrics(toy: Toy) -> None:
    """Its state and its pool are on the page; the labels are the names that readiness watches."""
    toy.problem = StorageUnavailable()
    port = free_port()
    async with (
        stub_core() as core,
        running_gateway(core, ADMIN_LISTEN_PORT=str(port)),
    ):
        ready = await exchange(("127.0.0.1", port), request("GET", "/readyz"))
        page = await exchange(("127.0.0.1", port), request("GET", "/metrics"))
    found = ready.json()["dependencies"]
    assert found["toy"]["state"] == "down"
    names = set(dependencies.names(load(**LOCAL)))
    assert set(found) == names
    lines = page.body.decode().splitlines()
    assert 'gateway_dependency_state{dependency="toy",state="down"} 1' in lines
    assert 'gateway_upstream_connections{pool="toy",state="in_use"} 2' in lines
    assert 'gateway_upstream_connections_limit{pool="toy"} 5' in lines
    states = [line for line in lines if line.startswith("gateway_dependency_state{")]
    assert {line.split('"')[1] for line in states} == names


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_check_connect_asks_it(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    """Of all dependencies only the toy and the embedded policy are there."""
    assert cli.main(["check", "--connect"], {**REQUIRED, **LOCAL}) == 1
    printed = capsys.readouterr().out.partition("\nDependencies\n")[2]
    answered = {line.split()[0] for line in printed.splitlines() if line.split()[1] == "ok,"}
    assert answered == {"users", "policy", "toy"}


async def test_a_reload_reaches_it_without_a_restart(toy: Toy, services: Services) -> None:
    """The settings that it declares are taken over."""
    before = services.settings
    fresh = replace(before, s3_region="eu-central-1")
    await services.reload(fresh)
    assert toy.region == "eu-central-1"
    assert needing_restart(before, fresh) == []


async def test_of_two_reloads_at_once_the_later_one_stays(toy: Toy, services: Services) -> None:
    """Also where the earlier one takes longer: a secret that was replaced must not come back."""
    services.dependencies = BuiltDependencies(
        {"toy": Built(toy, toy.check, (), toy.faults, toy.reload)}
    )
    toy.waits = [held := asyncio.Event()]
    regions = ("eu-north-1", "eu-central-1")
    under_way = [
        asyncio.create_task(services.reload(replace(services.settings, s3_region=region)))
        for region in regions
    ]
    for _ in range(100):
        await asyncio.sleep(0)
    held.set()
    await asyncio.gather(*under_way)
    assert (toy.region, services.settings.s3_region) == (regions[1], regions[1])


async def test_a_fault_of_it_stops_the_reload_of_everything(toy: Toy, services: Services) -> None:
    """All is taken over, or nothing is."""
    toy.wrong = ["no batteries"]
    before = services.settings
    await services.reload(replace(before, core_token="another", s3_region="eu-central-1"))
    assert services.settings is before
    assert toy.region == ""
    assert await services.dependencies.faults() == ["toy: no batteries"]


async def test_what_was_built_last_is_closed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dependency may use one that was built before it until it is closed itself."""
    toy = Toy()
    declared = tuple(toy.declared(name) for name in ("first", "second", "third"))
    monkeypatch.setattr(dependencies, "DEPENDENCIES", (*dependencies.DEPENDENCIES, *declared))
    services = await build_services(load(**LOCAL), Tasks())
    await services.aclose()
    assert toy.closed == ["third", "second", "first"]


async def test_where_one_cannot_be_built_those_before_it_are_closed(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that cannot start leaves no connection and no thread behind."""

    async def build(_: Building) -> Built[Toy]:
        raise OSError("no such toy")

    lost: Dependency[Any] = Dependency("lost", build)
    monkeypatch.setattr(dependencies, "DEPENDENCIES", (*dependencies.DEPENDENCIES, lost))
    with pytest.raises(OSError, match="no such toy"):
        await build_services(load(**LOCAL), Tasks())
    assert toy.closed == ["toy"]


class Tracing:
    """A tracer whose spans are named in ``begun``."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, name: str, _kind: str, _parent: str | None) -> Span:
        self.begun.append(name)
        return self

    @property
    def traceparent(self) -> str:
        return "of the span"

    def say(self, name: str, value: object) -> None:
        return None

    def end(self, error: str | None = None) -> None:
        return None

    async def aclose(self) -> None:
        return None


async def test_the_calls_it_names_get_spans(toy: Toy, services: Services) -> None:
    """Under the name it was declared with, and only where traces are on."""
    declaration = toy.declared()
    tracer = Tracing()
    building = Building(services.settings, services.tls, Tasks(), services.closing)
    built = await build_all([declaration], building, tracer)
    before = TRACEPARENT.set("of the request")
    assert await built.adapter(declaration).play() == "of the span"
    assert await services.dependencies.adapter(declaration).play() == "of the request"
    TRACEPARENT.reset(before)
    await built.adapter(declaration).check()
    assert tracer.begun == ["toy play"]
