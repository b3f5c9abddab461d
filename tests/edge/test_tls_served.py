"""HTTPS as ``gateway serve`` serves it: worker processes, files that change, signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.certificates import Authority, client

from .raw import TIMEOUT_S
from .served import Served, served, until
from .stub_core import DONE, META, STREAM_HEAD, StubCore, chunk
from .test_query import terminal

CONNECTIONS = 24


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@contextlib.asynccontextmanager
async def https(core: StubCore, folder: Path, authority: Authority) -> AsyncIterator[Served]:
    pair = authority.issue("gateway")
    files = {"TLS_CERT_FILE": str(pair.cert), "TLS_KEY_FILE": str(pair.key)}
    async with served(core, folder, 2, trust=client(authority), **files) as running:
        yield running


async def serials(running: Served) -> set[str]:
    """The certificates that many new connections are shown, so that each worker is met."""

    async def one() -> str:
        _, writer = await asyncio.open_connection(*running.address, ssl=running.trust)
        shown = str(writer.get_extra_info("peercert")["serialNumber"])
        writer.close()
        return shown

    async with asyncio.timeout(TIMEOUT_S):
        return set(await asyncio.gather(*(one() for _ in range(CONNECTIONS))))


async def test_a_new_certificate_is_served_by_every_worker_and_cuts_no_stream(
    core: StubCore, tmp_path: Path, authority: Authority
) -> None:
    """By itself, soon after the files changed; then a stop ends the streams with their event."""
    async with https(core, tmp_path, authority) as running:
        (before,) = await serials(running)
        core.holds(STREAM_HEAD, chunk(META))
        streams = [await running.asking() for _ in range(6)]
        for streaming in streams:
            await streaming.until(META)
        authority.issue("gateway")
        await running.said("certificates reloaded", times=2)
        (after,) = await serials(running)
        assert after != before
        running.signal(signal.SIGTERM)
        for streaming in streams:
            assert terminal(META + await streaming.rest())["code"] == "DRAINING"
            streaming.writer.close()
        assert await running.ended() == 0
    assert not [line for line in running.lines() if line["level"] == "error"]


async def test_a_worker_that_takes_anothers_place_has_the_new_certificate(
    core: StubCore, tmp_path: Path, authority: Authority
) -> None:
    """It is forked from a process that was started under the old one."""
    async with https(core, tmp_path, authority) as running:
        authority.issue("gateway")
        await running.said("certificates reloaded", times=2)
        (after,) = await serials(running)
        victim = running.workers()[0]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: victim not in running.workers())
        assert await serials(running) == {after}
        streaming = await running.asking()
        assert (await streaming.rest()).endswith(DONE)
        streaming.writer.close()
