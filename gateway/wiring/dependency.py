"""The shape of a dependency: everything the gateway has to know about it, in one declaration.

``dependencies`` declares each of them once. Readiness, ``gateway check --connect``, the labels of
the metrics, the spans of a trace, what a reload takes over and the order of closing all follow from
that declaration; no other list names a dependency.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, cast

from gateway.adapters.traced import with_spans
from gateway.flows.health import Check
from gateway.settings import Settings
from gateway.telemetry.samples import SampleSource
from gateway.telemetry.tracing import Tracer
from gateway.tls.outgoing import OutgoingTls

Port = TypeVar("Port")


class Spawn(Protocol):
    """Runs background work under a name; ``edge.tasks.Tasks`` is the real one."""

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]: ...


@dataclass(frozen=True, slots=True)
class Building:
    """What a dependency is built with.

    Attributes:
        tls: gives contexts for connections, and follows the certificate files behind them.
        closing: takes what has to be closed, as soon as it is made; it closes the last made first,
            also where a later dependency cannot be built.
        handed_on: what a dependency made that one behind it goes on with, by a name of theirs.
    """

    settings: Settings
    tls: OutgoingTls
    tasks: Spawn
    closing: AsyncExitStack
    handed_on: dict[str, Any] = field(default_factory=dict)


async def _no_faults() -> list[str]:
    return []


async def _no_reload(_settings: Settings) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Built(Generic[Port]):
    """One dependency of a running worker.

    Attributes:
        adapter: implements the port.
        check: raises what is wrong: ``PolicyBroken`` makes the worker unready, all else degraded.
            Only asked where the declaration says ``watched``.
        samples: what it counts by itself, read for the metrics at each tick.
        faults: what keeps it from reloading, asked before anything is taken over. Where it reads
            files for that, ``reload`` takes over what was read then, and reads nothing again.
        reload: takes over the settings that its declaration names as ``reloaded``.
        note: what it says of itself once it was asked, such as its version; empty for nothing.
    """

    adapter: Port
    check: Check
    samples: tuple[SampleSource, ...] = ()
    faults: Callable[[], Awaitable[list[str]]] = _no_faults
    reload: Callable[[Settings], Awaitable[None]] = _no_reload
    note: Callable[[], str] = lambda: ""


def _nothing_to_share(_settings: Settings) -> None:
    return None


def _always(_settings: Settings) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Dependency(Generic[Port]):
    """One thing outside that the gateway runs on.

    Attributes:
        name: in readiness, in ``gateway check --connect``, in spans and as a label of metrics.
        build: makes it, on the worker's event loop. It never fails for a peer that is down.
        spans: the calls of its port that get a span; presigning is no call, and a health check
            belongs to no request.
        pooled: whether its connections are counted, by ``samples.pool`` under its name.
        reloaded: the settings that ``Built.reload`` takes over without a restart.
        before_fork: imports and makes what workers share, in the process they are forked from, so
            that it is in memory once; connects nothing.
        before_reload: the same for what a reload takes over, in that process, before its workers
            are told to reload. It never fails: each worker finds what is wrong by itself.
        watched: whether it can be down at all with these settings: readiness, ``check --connect``
            and the metrics name only what can.
    """

    name: str
    build: Callable[[Building], Awaitable[Built[Port]]]
    spans: frozenset[str] = frozenset()
    pooled: bool = False
    reloaded: frozenset[str] = frozenset()
    before_fork: Callable[[Settings], None] = _nothing_to_share
    before_reload: Callable[[Settings], None] = _nothing_to_share
    watched: Callable[[Settings], bool] = _always


class BuiltDependencies:
    """All dependencies of one worker, by name and in the order in which they were built."""

    def __init__(
        self, built: Mapping[str, Built[Any]], unwatched: Collection[str] = frozenset()
    ) -> None:
        self._built = built
        self._unwatched = unwatched

    def adapter(self, dependency: Dependency[Port]) -> Port:
        return cast(Port, self._built[dependency.name].adapter)

    @property
    def checks(self) -> Mapping[str, Check]:
        return {name: one.check for name, one in self._built.items() if name not in self._unwatched}

    def note(self, name: str) -> str:
        return self._built[name].note()

    @property
    def samples(self) -> list[SampleSource]:
        return [source for one in self._built.values() for source in one.samples]

    async def faults(self) -> list[str]:
        """What is wrong with what a reload would read, as ``"policy: …"``; changes nothing."""
        return [
            f"{name}: {fault}" for name, one in self._built.items() for fault in await one.faults()
        ]

    async def reload(self, settings: Settings) -> None:
        for one in self._built.values():
            await one.reload(settings)


async def build_all(
    dependencies: Iterable[Dependency[Any]], building: Building, tracer: Tracer | None
) -> BuiltDependencies:
    built: dict[str, Built[Any]] = {}
    unwatched: set[str] = set()
    for dependency in dependencies:
        if not dependency.watched(building.settings):
            unwatched.add(dependency.name)
        one = await dependency.build(building)
        if tracer is not None:
            spanned = with_spans(one.adapter, dependency.name, dependency.spans, tracer)
            one = replace(one, adapter=spanned)
        built[dependency.name] = one
    return BuiltDependencies(built, unwatched)
