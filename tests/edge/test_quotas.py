"""Quotas on the served gateway and a real Redis: tokens are counted, and a spent budget ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.components import Running
from gateway.domain.quotas import DAY_S, utc_text
from tests.components import running_redis

from .conftest import Gateway, running_gateway
from .doors import DOORS, Progress, all_open
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_limit_plans import write_plans

QUOTA = "query:run 100 tokens/day per subject"
PATIENT_S = 30.0
ASKED = {"query": "hi"}


def usage_event(prompt: int, completion: int) -> bytes:
    data = b'{"prompt_tokens": %d, "completion_tokens": %d}' % (prompt, completion)
    return b"event: usage\ndata: " + data + b"\n\n"


def answers(core: StubCore, prompt: int, completion: int) -> None:
    usage = chunk(usage_event(prompt, completion))
    core.sends(STREAM_HEAD + chunk(META) + chunk(TOKEN) + usage + chunk(DONE) + END)


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_redis(tmp_path) as running:
        yield running


@contextlib.asynccontextmanager
async def counting(
    core: StubCore, redis: Running, limits: str = QUOTA, **more: str
) -> AsyncIterator[Gateway]:
    """A gateway that counts in this Redis: one of several replicas, where a test has more."""
    settings = {"REDIS_TIMEOUT": "5s", **more}
    url = f"redis://{redis.launch.address}"
    async with running_gateway(core, LIMITS=limits, REDIS_URL=url, **settings) as gateway:
        yield gateway


async def ask(gateway: Gateway, who: dict[str, str], **body: Any) -> httpx.Response:
    return await gateway.client.post("/api/v1/query", json={**ASKED, **body}, headers=who)


async def used(gateway: Gateway, who: dict[str, str], query: str = "") -> dict[str, Any]:
    answer = await gateway.client.get(f"/api/v1/usage{query}", headers=who)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def until_used(gateway: Gateway, who: dict[str, str], total: int) -> dict[str, Any]:
    """The day's row, once it has come to ``total``: charges travel behind their answer."""
    async with asyncio.timeout(PATIENT_S):
        while True:
            day = (await used(gateway, who))["tokens"][0]
            if day["total_tokens"] == total:
                return dict(day)
            await asyncio.sleep(0.02)


async def test_a_spent_budget_is_refused_before_the_core_is_asked(
    core: StubCore, redis: Running
) -> None:
    answers(core, 70, 40)
    async with counting(core, redis) as gateway:
        alice, bob = await gateway.bearer("alice"), await gateway.bearer("bob")
        assert (await ask(gateway, alice)).status_code == 200
        day = await until_used(gateway, alice, 110)
        assert (day["prompt_tokens"], day["completion_tokens"], day["estimated_tokens"]) == (
            70,
            40,
            0,
        )
        asked = len(core.heads)

        refused = await ask(gateway, alice)

        assert refused.status_code == 429
        assert len(core.heads) == asked
        error = refused.json()["error"]
        assert error["code"] == "QUOTA_EXCEEDED"
        midnight = (gateway.clock.now // DAY_S + 1) * DAY_S
        wait_s = int(refused.headers["Retry-After"])
        assert 0 <= wait_s - (midnight - gateway.clock.now) <= 1
        assert error["details"] == {
            "quota": "query:run/subject/tokens/day",
            "allowed": "100 tokens/day per subject",
            "used": 110,
            "limit": 100,
            "renews_at": utc_text(midnight),
            "retry_after_s": wait_s,
            "request_id": refused.headers["X-Request-ID"],
        }
        assert (await ask(gateway, bob)).status_code == 200


async def test_every_door_charges_and_refuses_alike(core: StubCore, redis: Running) -> None:
    answers(core, 3, 2)
    limits = f"query:run {5 * len(DOORS)} tokens/day per subject"
    async with counting(core, redis, limits, **all_open()) as gateway:
        alice = await gateway.bearer("alice")
        for asked, door in enumerate(DOORS.values(), 1):
            told = await door.ask(gateway, alice, Progress(blind=door.blind))
            assert told.ends == "done", door.name
            await until_used(gateway, alice, 5 * asked)
        for door in DOORS.values():
            told = await door.ask(gateway, alice, Progress(blind=door.blind))
            assert told.ends == "QUOTA_EXCEEDED", door.name


async def test_a_plan_in_the_policy_has_its_own_budget(
    core: StubCore, redis: Running, tmp_path: Path
) -> None:
    """Of docs/limits.md: carol has the free plan, and no quota is configured."""
    answers(core, 20, 10)
    (tmp_path / "plans").mkdir()
    plans = write_plans(tmp_path / "plans", "2/m, 1 open", "9/m, 30 tokens/day")
    more = {"USAGE_COUNTED": "true", "POLICY_DIR": str(plans)}
    async with counting(core, redis, "query:run 60/m per subject", **more) as gateway:
        carol, alice = await gateway.bearer("carol"), await gateway.bearer("alice")
        for who in (carol, alice):
            assert (await ask(gateway, who)).status_code == 200
            await until_used(gateway, who, 30)
        told = await used(gateway, carol)
        assert [(one["quota"], one["left"]) for one in told["quotas"]] == [
            ("query:run/subject/tokens/day", 0)
        ]
        assert _quota(await ask(gateway, carol)) == "query:run/subject/tokens/day"
        assert (await ask(gateway, alice)).status_code == 200


async def test_leaving_before_the_usage_is_not_free(core: StubCore, redis: Running) -> None:
    """An estimate is charged, and marked as one: a token an event, and one for the question."""
    last = TOKEN.replace(b"hello", b"last")
    core.holds(STREAM_HEAD + chunk(META) + chunk(TOKEN) * 6 + chunk(last))
    async with counting(core, redis, "query:run 9 tokens/day per subject") as gateway:
        alice = await gateway.bearer("alice")
        stream = await gateway.asking(credential=alice)
        await stream.until(last)
        stream.writer.close()

        day = await until_used(gateway, alice, 9)

        assert day["estimated_tokens"] == 9
        assert (await ask(gateway, alice)).status_code == 429


@pytest.mark.parametrize(
    ("sent", "charged"),
    [
        (chunk(TOKEN) * 3, 4),
        (chunk(TOKEN) * 3 + chunk(usage_event(20, 3)), 23),
        (chunk(TOKEN) * 3 + chunk(b"event: usage\ndata: {}\n\n") + chunk(DONE) + END, 6),
        (chunk(b'event: error\ndata: {"error": {}}\n\n') + END, 0),
    ],
    ids=["cut", "cut behind usage", "usage that says nothing", "failed before any event"],
)
async def test_what_an_answer_costs_that_the_core_broke(
    core: StubCore, redis: Running, sent: bytes, charged: int
) -> None:
    async with counting(core, redis) as gateway:
        alice = await gateway.bearer("alice")
        core.sends(STREAM_HEAD + sent)
        assert (await ask(gateway, alice)).status_code == 200
        answers(core, 1, 0)
        assert (await ask(gateway, alice)).status_code == 200

        await until_used(gateway, alice, charged + 1)


async def test_a_budget_begins_anew_with_the_day_of_utc(core: StubCore, redis: Running) -> None:
    """What the month has spent stays."""
    answers(core, 70, 40)
    limits = f"{QUOTA}, 200 tokens/month per subject"
    async with counting(core, redis, limits, **all_open()) as gateway:
        gateway.clock.now = 1_800_057_540.0
        assert utc_text(gateway.clock.now) == "2027-01-15T23:59:00Z"
        keeps = await new_key(gateway, "alice")
        assert (await ask(gateway, keeps)).status_code == 200
        await until_used(gateway, keeps, 110)
        refused = await ask(gateway, keeps)
        assert refused.json()["error"]["details"]["renews_at"] == "2027-01-16T00:00:00Z"
        assert refused.headers["Retry-After"] == "60"

        gateway.clock.now += 60
        assert (await ask(gateway, keeps)).status_code == 200
        await until_used(gateway, keeps, 110)
        gateway.clock.now += DAY_S

        refused = await ask(gateway, keeps)
        assert refused.json()["error"]["details"] | {"request_id": ""} == {
            "quota": "query:run/subject/tokens/month",
            "allowed": "200 tokens/month per subject",
            "used": 220,
            "limit": 200,
            "renews_at": "2027-02-01T00:00:00Z",
            "retry_after_s": 15 * DAY_S,
            "request_id": "",
        }


async def new_key(gateway: Gateway, name: str) -> dict[str, str]:
    scopes = ["query:run", "usage:read"]
    body = {"name": "a program", "scopes": scopes}
    made = await gateway.client.post("/api/v1/keys", json=body, headers=await gateway.bearer(name))
    assert made.status_code == 201, made.text
    return {"X-API-Key": made.json()["secret"]}


async def test_two_replicas_share_a_budget(core: StubCore, redis: Running) -> None:
    """Of a subject, of a key, and of a tenant; who has another tenant has another budget."""
    answers(core, 20, 10)
    limits = "query:run 120 tokens/day per tenant, 60 tokens/day per subject, 30 tokens/day per key"
    async with counting(core, redis, limits) as one, counting(core, redis, limits) as other:
        other.keys.records = one.keys.records
        key = await new_key(one, "alice")
        alice, bob, carol = [await one.bearer(name) for name in ("alice", "bob", "carol")]
        assert (await ask(one, key)).status_code == 200
        await until_used(other, alice, 30)
        assert _quota(await ask(other, key)) == "query:run/key/tokens/day"
        assert (await ask(other, alice)).status_code == 200
        await until_used(one, alice, 60)
        assert _quota(await ask(one, alice)) == "query:run/subject/tokens/day"
        for replica, spent in ((one, 30), (other, 60)):
            assert (await ask(replica, bob)).status_code == 200
            await until_used(other, bob, spent)
        root = await other.bearer("root")
        assert _quota(await ask(other, root)) == "query:run/tenant/tokens/day"
        assert (await ask(other, carol)).status_code == 200
        await until_used(one, carol, 30)


def _quota(answer: httpx.Response) -> str:
    assert answer.status_code == 429, answer.text
    return str(answer.json()["error"]["details"]["quota"])


async def test_what_is_left_is_told_and_when_a_key_was_last_used(
    core: StubCore, redis: Running
) -> None:
    answers(core, 20, 10)
    limits = f"{QUOTA}, 1000 tokens/month per tenant; query:run 60/m burst 5 per subject"
    async with counting(core, redis, limits, **all_open()) as gateway:
        key = await new_key(gateway, "alice")
        alice, root = await gateway.bearer("alice"), await gateway.bearer("root")
        assert (await ask(gateway, key)).status_code == 200
        await until_used(gateway, alice, 30)

        told = await used(gateway, alice)

        midnight = utc_text((gateway.clock.now // DAY_S + 1) * DAY_S)
        assert (told["tenant"], told["subject"], told["counted"]) == ("acme", "alice", True)
        assert told["quotas"][0] == {
            "quota": "query:run/subject/tokens/day",
            "per": "subject",
            "limit": 100,
            "used": 30,
            "left": 70,
            "renews_at": midnight,
        }
        assert [one["left"] for one in told["quotas"]] == [70, 970]
        assert told["limits"] == [
            {
                "limit": "query:run/subject/m",
                "per": "subject",
                "allowed": "60/m burst 5",
                "left": 4,
                "retry_after_s": 0.0,
            }
        ]
        assert [one | {"key_id": ""} for one in told["keys"]] == [
            {
                "key_id": "",
                "last_used_at": utc_text(gateway.clock.now),
                "tokens_day": 30,
                "tokens_month": 30,
            }
        ]
        by_admin = await used(gateway, root, "?owner=alice")
        assert (by_admin["subject"], by_admin["tokens"]) == ("alice", told["tokens"])
        denied = await gateway.client.get("/api/v1/usage?owner=root", headers=alice)
        assert denied.status_code == 403
        carol = await gateway.bearer("carol")
        assert [one["total_tokens"] for one in (await used(gateway, carol))["tokens"]] == [0, 0]


async def test_many_users_tokens_never_meet(core: StubCore, redis: Running) -> None:
    """They ask by turns, with a token and with a key: what each sees is what he spent."""
    answers(core, 2, 1)
    async with counting(core, redis, "", USAGE_COUNTED="true") as gateway:
        people = {name: await gateway.bearer(name) for name in ("alice", "bob", "carol", "root")}
        keys = {name: await new_key(gateway, name) for name in people}
        times = dict(zip(people, (2, 3, 4, 5), strict=True))
        for turn in range(5):
            for who in (people, keys):
                for name in (name for name, count in times.items() if count > turn):
                    assert (await ask(gateway, who[name])).status_code == 200
        for name, count in times.items():
            await until_used(gateway, people[name], 6 * count)
            by_key = await used(gateway, keys[name])
            assert [one["tokens_day"] for one in by_key["keys"]] == [3 * count]
            spent = {(one["per"], one["period"]): one["total_tokens"] for one in by_key["tokens"]}
            assert spent[("key", "day")] == spent[("key", "month")] == 3 * count
            assert spent[("subject", "day")] == 6 * count


async def test_charges_made_while_redis_is_away_arrive_when_it_is_back(
    core: StubCore, redis: Running
) -> None:
    """Meanwhile everybody is let in, and readiness and a metric say so."""
    answers(core, 70, 40)
    async with counting(core, redis) as gateway:
        alice = await gateway.bearer("alice")
        await redis.child.stop()
        for _ in range(3):
            assert (await ask(gateway, alice)).status_code == 200
            gateway.clock.now += 2
        page = gateway.application.worker_metrics.page
        assert "\ngateway_quotas_not_checked_total 3" in page().decode()
        assert "\ngateway_usage_waiting 0" not in page().decode()
        unknown = await gateway.client.get("/api/v1/usage", headers=alice)
        assert unknown.json()["error"]["code"] == "SHARED_STATE_UNAVAILABLE"
        await redis.start_again()

        await until_known(gateway, alice)
        assert (await until_used(gateway, alice, 330))["estimated_tokens"] == 0
        # The worker asks Redis for its limits again within two seconds.
        async with asyncio.timeout(PATIENT_S):
            while (await ask(gateway, alice)).status_code != 429:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def until_known(gateway: Gateway, who: dict[str, str]) -> None:
    async with asyncio.timeout(PATIENT_S):
        while True:
            if (await gateway.client.get("/api/v1/usage", headers=who)).status_code == 200:
                return
            await asyncio.sleep(0.05)


async def test_without_redis_everybody_is_let_in_and_readiness_says_why(core: StubCore) -> None:
    answers(core, 70, 40)
    async with running_gateway(core, LIMITS=QUOTA) as gateway:
        alice = await gateway.bearer("alice")
        assert [(await ask(gateway, alice)).status_code for _ in range(3)] == [200] * 3
        async with asyncio.timeout(PATIENT_S):
            while True:
                found = (await gateway.client.get("/readyz")).json()
                if found["status"] == "degraded":
                    break
                await asyncio.sleep(0.05)
        assert found["dependencies"]["usage"] == "down"
        page = gateway.application.worker_metrics.page().decode()
        assert "\ngateway_quotas_not_checked_total 3" in page


async def test_where_no_tokens_are_counted_only_limits_are_told(core: StubCore) -> None:
    async with running_gateway(core, LIMITS="query:run 60/m per subject") as gateway:
        told = await used(gateway, await gateway.bearer("alice"))
        assert (told["counted"], told["tokens"], told["quotas"], told["keys"]) == (
            False,
            [],
            [],
            [],
        )
        assert [one["limit"] for one in told["limits"]] == ["query:run/subject/m"]
        assert "usage" not in (await gateway.client.get("/readyz")).json()["dependencies"]
