"""Each dependency stopped and frozen in turn: the contract's status, readiness, and recovery.

The limits here are what a test waits at most, not what is asserted of speed; how long the answers
really took is printed for whoever wants to know (``pytest -s``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx
import pytest

from devstack.parts import Part
from devstack.stack import Stack

from .conftest import People
from .people import Person, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

Call = Callable[[Person], Awaitable[httpx.Response]]
TEXT = b"Fault tests leave this text behind."
ANNOUNCED = {"filename": "f.txt", "content_type": "text/plain", "size": len(TEXT)}


def get(path: str) -> Call:
    return lambda who: who.http.get(path)


def announce(who: Person) -> Awaitable[httpx.Response]:
    return who.http.post("/api/v1/documents", json=ANNOUNCED)


def ask(who: Person) -> Awaitable[httpx.Response]:
    return who.http.post("/api/v1/query", json={"query": "What is left behind?"})


def ask_with_a_new_key(who: Person) -> Awaitable[httpx.Response]:
    return who.http.post("/api/v1/keys", json={"name": "k", "scopes": ["query:run"]})


@dataclass(frozen=True)
class Case:
    """What a user meets while ``part`` is away; ``readiness`` is its name in ``/readyz``."""

    part: Part
    readiness: str
    call: Call
    stopped: tuple[int, str]
    frozen: tuple[int, str]
    good: int


CASES = [
    Case(
        "opa",
        "policy",
        get("/api/v1/auth/me"),
        (503, "POLICY_UNAVAILABLE"),
        (503, "POLICY_UNAVAILABLE"),
        200,
    ),
    Case(
        "s3",
        "storage",
        ask_with_a_new_key,
        (503, "STORAGE_UNAVAILABLE"),
        (503, "STORAGE_UNAVAILABLE"),
        201,
    ),
    Case(
        "temporal",
        "temporal",
        announce,
        (503, "TEMPORAL_UNAVAILABLE"),
        (504, "TEMPORAL_TIMEOUT"),
        201,
    ),
    Case(
        "core",
        "core",
        get("/api/v1/documents"),
        (502, "CORE_UNAVAILABLE"),
        (504, "CORE_TIMEOUT"),
        200,
    ),
]


@contextlib.asynccontextmanager
async def away(stack: Stack, part: Part, how: str) -> AsyncIterator[None]:
    if how == "frozen":
        stack.freeze(part)
    else:
        await stack.stop(part)
    try:
        yield
    finally:
        if how == "frozen":
            stack.thaw(part)
        else:
            await stack.start(part)


async def state_of(stack: Stack, name: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{stack.base_url}/readyz")
    assert answer.status_code == 200, "a dependency that is away must not make us unready"
    return str(answer.json()["dependencies"][name])


@pytest.mark.parametrize("how", ["stopped", "frozen"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.part)
async def test_a_dependency_away_is_told_plainly_and_forgotten_on_its_return(
    stack: Stack, people: People, case: Case, how: str
) -> None:
    """The contract's status and code, readiness that names it, and all well again afterwards."""
    alice = await people("alice")

    async def is_well() -> bool:
        answer = await case.call(alice)
        return answer.status_code == case.good

    async def has_state(state: str) -> bool:
        return await state_of(stack, case.readiness) == state

    expected = case.frozen if how == "frozen" else case.stopped
    await until(is_well)
    async with away(stack, case.part, how):
        # What is cached may still answer for its few seconds; then the truth comes out.
        answers: list[tuple[int, float]] = []

        async def is_told() -> httpx.Response | None:
            began = time.monotonic()
            answer = await case.call(alice)
            answers.append((answer.status_code, time.monotonic() - began))
            return answer if answer.status_code != case.good else None

        answer = await until(is_told)
        assert (answer.status_code, answer.json()["error"]["code"]) == expected
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
        await until(lambda: has_state("down"))
        print(f"{case.part} {how}: answered after {answers[-1][1]:.2f} s")
    began = time.monotonic()
    await until(is_well)
    await until(lambda: has_state("ok"))
    print(f"{case.part} {how}: well {time.monotonic() - began:.2f} s after its return")


async def test_a_frozen_core_is_told_inside_the_stream(stack: Stack, people: People) -> None:
    """The head goes out after the early window, and the stream ends with its one error event."""
    alice = await people("alice")
    async with away(stack, "core", "frozen"):
        answer = await alice.ask("Is anybody there?")
    assert answer.status == 200
    assert [name for name, _ in answer.events] == ["error"]
    assert answer.events[0][1]["error"]["code"] == "FIRST_EVENT_TIMEOUT"


async def test_a_stopped_core_is_a_plain_502_for_a_question(stack: Stack, people: People) -> None:
    """Nothing has been sent yet, so the status can still tell the truth."""
    alice = await people("alice")
    async with away(stack, "core", "stopped"):
        answer = await ask(alice)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "CORE_UNAVAILABLE")


async def test_the_admin_listener_gives_reason_latency_and_since(stack: Stack) -> None:
    """What the public answer leaves out is there for operators."""

    async def told() -> dict[str, object] | None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{stack.admin_url}/readyz")
        storage = answer.json()["dependencies"]["storage"]
        return storage if storage["state"] == "down" else None

    async with away(stack, "s3", "stopped"):
        storage = await until(told)
        assert storage["reason"]
        assert storage["since"]


async def test_a_cached_key_outlives_the_store_for_its_five_seconds_only(
    stack: Stack, people: People
) -> None:
    """Then 503: never a 401, which would make a client throw a good key away, and never a pass."""
    alice = await people("alice")
    made = await alice.http.post("/api/v1/keys", json={"name": "outage", "scopes": ["auth:me"]})
    secret = made.json()["secret"]
    async with httpx.AsyncClient(
        base_url=stack.base_url, headers={"X-API-Key": secret}, trust_env=False, timeout=30
    ) as script:
        for _ in range(20):  # both workers get to know the key
            assert (await script.get("/api/v1/auth/me")).status_code == 200
        async with away(stack, "s3", "stopped"):
            statuses: list[int] = []

            async def refused() -> bool:
                statuses.append((await script.get("/api/v1/auth/me")).status_code)
                return statuses[-1] == 503

            await until(refused)
            assert set(statuses) <= {200, 503}

        async def works() -> bool:
            return (await script.get("/api/v1/auth/me")).status_code == 200

        await until(works)


async def test_a_revoked_key_is_refused_by_every_worker(stack: Stack, people: People) -> None:
    """Within its five seconds of cache, on all workers, for good."""
    alice = await people("alice")
    made = (
        await alice.http.post("/api/v1/keys", json={"name": "gone", "scopes": ["auth:me"]})
    ).json()
    limits = httpx.Limits(max_keepalive_connections=0)  # a new connection may meet any worker
    async with httpx.AsyncClient(
        base_url=stack.base_url,
        headers={"X-API-Key": made["secret"]},
        trust_env=False,
        limits=limits,
        timeout=30,
    ) as script:
        for _ in range(20):
            assert (await script.get("/api/v1/auth/me")).status_code == 200
        revoked = await alice.http.delete(f"/api/v1/keys/{made['key_id']}")
        assert revoked.status_code == 204
        in_a_row = 0

        async def refused_everywhere() -> bool:
            nonlocal in_a_row
            status = (await script.get("/api/v1/auth/me")).status_code
            in_a_row = in_a_row + 1 if status == 401 else 0
            return in_a_row >= 30

        await until(refused_everywhere)
