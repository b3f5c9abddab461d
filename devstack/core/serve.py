"""The serving process: composes the service and serves it until it is stopped.

Over HTTP always, and where ``CORE_GRPC_PORT`` is set over gRPC, too: both are one service.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator

import httpx
from aiohttp import web

from devstack.core.chat_model import ChatWriter
from devstack.core.finding.embeddings import embedding
from devstack.core.http_service import HttpService
from devstack.core.index import IndexBuilder, IndexReader
from devstack.core.process import announce_ready, stop_event
from devstack.core.query import ExtractiveWriter, Writer
from devstack.core.registry import Registry
from devstack.core.service import Service
from devstack.core.settings import Settings

SHUTDOWN_S = 2.0
BACKLOG = 1024


async def run_service(settings: Settings) -> None:
    """Serve until a stop signal."""
    stop = stop_event(exit_with_stdin=settings.exit_with_stdin)
    async with serving(settings) as ports:
        announce_ready("core", *ports)
        await stop.wait()


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[int, int | None]]:
    """The service listening, until the block is left; gives its ports for HTTP and for gRPC."""
    registry = Registry(settings.data_dir)
    index = settings.data_dir / "index"
    async with _writer(settings) as writer, embedding(settings.embeddings) as embedder:
        service = Service(
            registry,
            IndexReader(registry, index, embedder=embedder),
            IndexBuilder(registry, index, embedder),
            writer,
            settings.line_limit_bytes,
        )
        runner = web.AppRunner(
            HttpService(settings.token, service).app(),
            access_log=None,
            shutdown_timeout=SHUTDOWN_S,
            handler_cancellation=True,  # a caller that leaves ends the answer, a model's too
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)
            await site.start()
            async with _over_grpc(settings, service) as grpc_port:
                yield runner.addresses[0][1], grpc_port
        finally:
            await runner.cleanup()
            registry.close()


@contextlib.asynccontextmanager
async def _over_grpc(settings: Settings, service: Service) -> AsyncIterator[int | None]:
    if settings.grpc_port is None:
        yield None
        return
    # Read when grpc is imported. With its fork handlers a child that is to become another program
    # (a reader's sandbox) can crash before it does.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from devstack.core.grpc_service import serving_grpc

    host, port = settings.host, settings.grpc_port
    async with serving_grpc(settings.token, service, host, port, SHUTDOWN_S) as listens:
        yield listens


@contextlib.asynccontextmanager
async def _writer(settings: Settings) -> AsyncIterator[Writer]:
    if settings.chat is None:
        yield ExtractiveWriter()
        return
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False) as client:
        yield ChatWriter(settings.chat, client)
