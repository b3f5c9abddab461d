"""A users file gone wrong must not end the watch over it: nobody could be disabled any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sanic import Sanic

from gateway.edge import lifecycle
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.wire.connections import Connections, Limits
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.worker_metrics import WorkerMetrics

LIMITS = Limits(connections=1, per_address=1, body_bytes=1, head_s=1, body_s=1, idle_s=1, stall_s=1)


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

    app: Sanic[Any, Any] = Sanic("reload")
    worker_metrics = WorkerMetrics(layout_for([], ("1.0", "3.11")))
    watched: Any = lifecycle.Lifecycle(
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
    watched._services = Running()
    watching = asyncio.create_task(watched._watch_users())
    async with asyncio.timeout(30):
        await reloaded_again.wait()
    assert not watching.done()
    watching.cancel()
