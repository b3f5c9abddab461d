"""Quotas and limits asked for together: who is charged, what heads say, what an operator sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.components import Running
from gateway.domain.quotas import DAY_S
from tests.components import running_redis

from .served import free_port, served
from .stub_core import StubCore
from .test_limits_command import command
from .test_quotas import answers, ask, counting, new_key, until_used, used

BOTH = "query:run 100 tokens/day per subject, 5/h per subject, 2 open per subject"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_redis(tmp_path) as running:
        yield running


async def test_who_has_no_tokens_left_is_charged_no_request(core: StubCore, redis: Running) -> None:
    """And holds no stream: of five an hour four are left after one answer and many refusals."""
    answers(core, 70, 40)
    async with counting(core, redis, BOTH) as gateway:
        alice = await gateway.bearer("alice")
        assert (await ask(gateway, alice)).status_code == 200
        await until_used(gateway, alice, 110)
        refused = [await ask(gateway, alice) for _ in range(9)]

        assert {one.json()["error"]["code"] for one in refused} == {"QUOTA_EXCEEDED"}
        limits = (await used(gateway, alice))["limits"]
        assert [(one["limit"], one["left"]) for one in limits] == [
            ("query:run/subject/h", 4),
            ("query:run/subject/open", 2),
        ]


async def test_a_spent_budget_ends_with_the_answer_that_spent_it(
    core: StubCore, redis: Running
) -> None:
    """The very next question of the same worker is refused, wherever its charge is on its way."""
    answers(core, 100, 0)
    async with counting(core, redis, BOTH.replace("5/h", "500/h")) as gateway:
        key = await new_key(gateway, "alice")
        for _ in range(20):
            assert [(await ask(gateway, key)).status_code for _ in range(3)] == [200, 429, 429]
            gateway.clock.now += DAY_S


async def test_heads_tell_of_quotas_as_of_limits(core: StubCore, redis: Running) -> None:
    """What was left when it was asked, and when all of it is again."""
    answers(core, 70, 40)
    async with counting(core, redis, f"{BOTH}, 9000 tokens/month per tenant") as gateway:
        gateway.clock.now = 1_800_057_540.0  # 2027-01-15T23:59:00Z
        key = await new_key(gateway, "alice")
        first = await ask(gateway, key)
        await until_used(gateway, key, 110)
        refused = await ask(gateway, key)
        other = await gateway.client.get("/api/v1/usage", headers=key)

    assert first.headers["RateLimit-Policy"] == (
        '"query:run/subject/h";q=5;w=3600, "query:run/subject/open";q=2;qu="concurrent-requests",'
        ' "query:run/subject/tokens/day";q=100;qu="kbg-tokens";w=86400,'
        ' "query:run/tenant/tokens/month";q=9000;qu="kbg-tokens";w=2678400'
    )
    assert first.headers["RateLimit"] == (
        '"query:run/subject/h";r=4;t=720, "query:run/subject/open";r=1,'
        ' "query:run/subject/tokens/day";r=100;t=60,'
        ' "query:run/tenant/tokens/month";r=9000;t=1382460'
    )
    assert refused.headers["RateLimit"] == (
        '"query:run/subject/tokens/day";r=0;t=60, "query:run/tenant/tokens/month";r=8890;t=1382460'
    )
    assert "RateLimit" not in other.headers


async def test_an_operator_sees_and_forgets_what_was_spent(
    core: StubCore, redis: Running, tmp_path: Path
) -> None:
    answers(core, 70, 40)
    port = free_port()
    settings = {"ADMIN_LISTEN_PORT": str(port), "REDIS_TIMEOUT": "5s"}
    url = f"redis://{redis.launch.address}"
    whom = ("--subject", "main/root")
    async with served(core, tmp_path, 2, LIMITS=BOTH, REDIS_URL=url, **settings) as running:
        assert (await running.send(running.question())).status == 200
        shown = ""
        while "0 left of 100 tokens/day, next in " not in shown:
            shown = await command(running, port, "show", *whom, limits=BOTH)
        assert "query:run/subject/h  main/root: 4 left of 5/h" in shown
        assert (await running.send(running.question())).status == 429

        said = await command(running, port, "reset", *whom, limits=BOTH)
        assert "it is forgotten" in said

        assert (await running.send(running.question())).status == 200
