"""Liveness and readiness: a dependency that is down takes no replica out."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import StorageUnavailable, TemporalUnavailable

from .conftest import Gateway
from .raw import Answer, exchange, request

NAMES = {"core", "policy", "storage", "keys", "revocations", "temporal"}


async def ready(gateway: Gateway) -> Answer:
    return await exchange(gateway.address, request("GET", "/readyz"))


async def until(gateway: Gateway, dependency: str, state: str) -> Answer:
    async with asyncio.timeout(20):
        while True:
            answer = await ready(gateway)
            if answer.json()["dependencies"][dependency] == state:
                return answer
            await asyncio.sleep(0.05)


async def test_all_is_well(gateway: Gateway) -> None:
    """Each dependency with its state, by name, and nothing more."""
    answer = await ready(gateway)
    assert answer.status == 200
    assert answer.json() == {"status": "ok", "dependencies": dict.fromkeys(NAMES, "ok")}


@pytest.mark.parametrize(
    ("fake", "dependency", "error"),
    [
        ("store", "storage", StorageUnavailable()),
        ("keys", "keys", StorageUnavailable()),
        ("workflows", "temporal", TemporalUnavailable()),
        ("store", "storage", ZeroDivisionError()),
    ],
)
async def test_a_dependency_that_is_down_is_degraded_with_200(
    gateway: Gateway, fake: str, dependency: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, without a reason, and is well again when it is back."""
    with monkeypatch.context() as patched:
        patched.setattr(getattr(gateway, fake), "failure", error)
        answer = await until(gateway, dependency, "down")
        assert answer.status == 200
        assert answer.json()["status"] == "degraded"
        assert b"secret" not in answer.body
        others = dict(answer.json()["dependencies"])
        del others[dependency]
        assert set(others.values()) == {"ok"}
    assert (await until(gateway, dependency, "ok")).json()["status"] == "ok"


async def test_a_core_that_is_gone_is_degraded(gateway: Gateway) -> None:
    """The core is asked over its own connection."""
    gateway.core.healthy = False
    assert (await until(gateway, "core", "down")).status == 200
    gateway.core.healthy = True
    assert (await until(gateway, "core", "ok")).status == 200


async def test_alive_asks_nobody(gateway: Gateway) -> None:
    """Neither a dependency nor a fault in one changes the answer."""
    gateway.core.healthy = False
    before = len(gateway.core.heads)
    answers = [await exchange(gateway.address, request("GET", "/healthz")) for _ in range(20)]
    assert {(answer.status, answer.body) for answer in answers} == {(200, b'{"status":"ok"}')}
    assert len(gateway.core.heads) - before <= 2


async def test_asking_often_asks_the_dependencies_no_more(gateway: Gateway) -> None:
    """A question to ``/readyz`` is answered from the last round, which runs once a second."""
    before = len(gateway.core.heads)
    for _ in range(50):
        await ready(gateway)
    assert len(gateway.core.heads) - before <= 3
