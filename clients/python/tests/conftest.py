"""A server in memory, clients of both kinds before it, and waits that take no time."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from .both import Make, make
from .fake_server import FakeServer

# A shell's background job, `tox &` in a script say, ignores Ctrl-C, and so would what is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, server: FakeServer) -> Make:
    return lambda **options: make(request.param, server, **options)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a client would have waited, instead of waiting."""
    waited: list[float] = []
    yielded = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await yielded(0)

    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr("knowledge_base._async.asyncio.sleep", sleep)
    return waited
