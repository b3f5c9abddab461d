"""A worker's life: a users file gone wrong ends no watch over it, and a drain is run once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sanic import Sanic

from gateway.adapters.clock import SystemClock
from gateway.edge import lifecycle
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.wire.connections import Connections, Limits
from gateway.flows.health import Health
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.worker_metrics import WorkerMetrics

LIMITS = Limits(connections=1, per_address=1, body_bytes=1, head_s=1, body_s=1, idle_s=1, stall_s=1)


def lifecycle_of(app: Sanic[Any, Any]) -> lifecycle.Lifecycle:
    """A worker's life without a server; a test gives it its services."""
    worker_metrics = WorkerMetrics(layout_for([], ("1.0", "3.11")))
    return lifecycle.Lifecycle(
        app,
        build=lambda tasks: asyncio.sleep(0),  # type: ignore[arg-type,return-value]
        attach=lambda running: None,
        connections=Connections(LIMITS),
        streams=OpenStreams(metrics=worker_metrics.recorder, client_stall_s=1.0),
        worker_metrics=worker_metrics,
        admin_address=None,
        drain_limit_s=0,
        grace_s=0,
        let_go_s=0,
    )


async def test_a_reload_that_fails_in_a_way_nobody_foresaw_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next change of the file is taken over as if nothing had been."""
    monkeypatch.setattr(lifecycle, "RELOAD_INTERVAL_S", 0)
    reloaded_again = asyncio.Event()

    class Running:
        tries = 0

        def reload_if_changed(self) -> None:
            self.tries += 1
            if self.tries == 1:
                raise ValueError("nobody foresaw this")
            reloaded_again.set()

    watched: Any = lifecycle_of(Sanic("reload"))
    watched._services = Running()
    watching = asyncio.create_task(watched._watch_users())
    async with asyncio.timeout(30):
        await reloaded_again.wait()
    assert not watching.done()
    watching.cancel()


async def test_a_drain_is_run_once() -> None:
    """The server's own stop asks for one after the signal's: it waits for no second grace."""

    class Running:
        health = Health({}, SystemClock(), timeout_s=1.0)

    stopped: list[str] = []

    async def stop_accepting() -> None:
        stopped.append("listener")

    draining: Any = lifecycle_of(Sanic("drained_once"))
    draining._services = Running()
    await draining.drain(stop_accepting)
    assert (draining.draining, draining.ending, stopped) == (True, True, ["listener"])
    draining._grace_s = draining._drain_limit_s = 3600.0
    async with asyncio.timeout(30):
        await draining.drain(stop_accepting)
        await draining._before_stop(None)
    assert stopped == ["listener"]
