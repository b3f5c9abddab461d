"""The Temporal worker that runs ``UploadWorkflow``, with the sweep beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from devstack.core.activities import Activities
from devstack.core.finding.embeddings import Embedder, embedding
from devstack.core.index import IndexBuilder
from devstack.core.process import announce_ready, stop_event
from devstack.core.registry import Registry
from devstack.core.settings import Settings
from devstack.core.storage import Storage
from devstack.core.sweep import Sweep
from devstack.core.upload_workflow import UploadWorkflow

logger = logging.getLogger(__name__)

PARALLEL_ACTIVITIES = 8
SHUTDOWN_S = 2.0
LONGEST_PAUSE_S = 5.0


async def run_worker(settings: Settings) -> None:
    """Work until a stop signal; wait for Temporal while it is not available."""
    stop = stop_event(exit_with_stdin=settings.exit_with_stdin)
    connecting = asyncio.ensure_future(_connect(settings))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        return
    async with (
        embedding(settings.embeddings) as embedder,
        working(settings, connecting.result(), embedder),
    ):
        announce_ready("worker")
        await stopping


@contextlib.asynccontextmanager
async def working(
    settings: Settings, client: Client, embedder: Embedder | None = None
) -> AsyncIterator[Sweep]:
    """A worker at work, and its sweep, until the block is left."""
    assert settings.storage is not None
    registry = Registry(settings.data_dir)
    storage = await asyncio.to_thread(Storage, settings.storage)
    builder = IndexBuilder(registry, settings.data_dir / "index", embedder)
    activities = Activities(settings, registry, builder, storage)
    sweep = Sweep(registry, builder, storage, settings.data_dir / "staging")
    worker = Worker(
        client,
        task_queue=settings.task_queue,
        workflows=[UploadWorkflow],
        activities=activities.all(),
        max_concurrent_activities=PARALLEL_ACTIVITIES,
        graceful_shutdown_timeout=timedelta(seconds=SHUTDOWN_S),
        # Cancels travel with heartbeats: rarer ones would let a deleted document be worked on.
        max_heartbeat_throttle_interval=timedelta(seconds=1),
    )
    try:
        async with worker:
            sweeping = asyncio.create_task(sweep.run_every(settings.sweep_interval_s), name="sweep")
            try:
                yield sweep
            finally:
                sweeping.cancel()
                await asyncio.wait([sweeping])
    finally:
        storage.close()
        registry.close()


async def _connect(settings: Settings) -> Client:
    pause_s = 0.2
    while True:
        try:
            return await Client.connect(
                settings.temporal_address, namespace=settings.temporal_namespace
            )
        except (RuntimeError, RPCError) as fault:
            logger.warning("Temporal at %s: %s", settings.temporal_address, fault)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
