"""Real components for tests, found and started as the development stack does it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from devstack import components
from devstack.components import Choice, Found, Launch, Missing, Name, Running, S3Account
from devstack.environment import inherited
from devstack.redis_server import launch_redis

START_LIMIT_S = 60.0
POLICY = Path(__file__).parents[1] / "opa"
ACCOUNT = S3Account("access", "secret-key")
# The stores a contract is held by: the real one, and what stands in for it.
STORES: dict[str, Choice] = {"versitygw": "real", "moto": "embedded"}


def missing_components(error: Missing) -> NoReturn:
    """A missing component fails the run where all must be real, and skips elsewhere."""
    if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
        pytest.fail(str(error))
    pytest.skip(str(error))


@cache
def component(name: Name, choice: Choice = "real") -> Found:
    """The component; without it the test is skipped, or fails where all must be real."""
    try:
        return components.find(name, choice)
    except Missing as error:
        missing_components(error)


def running_s3(
    folder: Path, choice: Choice = "real", account: S3Account = ACCOUNT
) -> AbstractAsyncContextManager[Running]:
    """An S3 server without buckets, its objects in ``folder``; its ``launch`` has the address."""
    found = component("s3", choice)
    return _running("s3", lambda: components.launch_s3(found, account, folder), folder)


def running_opa(folder: Path) -> AbstractAsyncContextManager[Running]:
    """A real OPA server with the policy of the checkout; ``launch.address`` is its URL."""
    found = component("opa")
    return _running("opa", lambda: components.launch_opa(found, POLICY), folder)


def running_redis(
    folder: Path, settings: Mapping[str, str] | None = None
) -> AbstractAsyncContextManager[Running]:
    """A real Redis; ``launch.address`` is host:port, ``child`` can be frozen, killed, stopped."""
    found = component("redis")
    return _running("redis", lambda: launch_redis(found, folder, settings), folder)


@contextlib.asynccontextmanager
async def _running(
    name: Name, launch: Callable[[], Launch], folder: Path
) -> AsyncIterator[Running]:
    env = inherited(os.environ)
    running = await components.start(name, launch, env=env, cwd=folder, timeout_s=START_LIMIT_S)
    try:
        yield running
    finally:
        await running.child.stop()
