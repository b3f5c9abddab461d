"""What only Redis has to do well: a real one that is slow, stopped, frozen, full or not for us.

What it counts is the matter of the suite that all kinds of shared state pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.components import Running, free_port
from gateway.adapters.redis_access import RedisAccess
from gateway.adapters.redis_calls import RedisCalls
from gateway.adapters.redis_state import RedisState
from gateway.domain.limits import Charge, Lease, Outcome, Penalty, Rate
from gateway.domain.when_away import Owed
from gateway.errors import SharedStateUnavailable
from gateway.tls.certificates import client_context
from tests.certificates import Authority
from tests.components import running_redis

# Long: a test does not depend on the machine's speed where it does not test the time.
PATIENT_S = 30.0
SHORT_S = 0.2
RATE = Rate(60, 60.0, 5)


def access(running: Running, timeout_s: float = PATIENT_S, **more: object) -> RedisAccess:
    host, _, port = running.launch.address.rpartition(":")
    return RedisAccess(((host, int(port)),), "kbg:", timeout_s, **more)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def using(one: RedisAccess) -> AsyncIterator[RedisState]:
    state = RedisState(lambda: one)
    try:
        yield state
    finally:
        await state.aclose()


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_redis(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def state(redis: Running) -> AsyncIterator[RedisState]:
    async with using(access(redis)) as one:
        yield one


def passed(outcomes: object) -> list[bool]:
    return [outcome.passed for outcome in outcomes]  # type: ignore[attr-defined]


async def ask(running: Running, *words: str) -> bytes:
    """One command, on a connection of its own; its whole answer."""
    host, _, port = running.launch.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
    writer.write(f"*{len(words)}\r\n{''.join(parts)}*1\r\n$4\r\nQUIT\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.removesuffix(b"+OK\r\n")


# --- Whose answer it is ---------------------------------------------------------------------------


async def test_a_cancelled_call_leaves_its_answer_to_nobody_else(
    redis: Running, state: RedisState
) -> None:
    """Of 200 callers half are cancelled while Redis is frozen; the others get their own answers."""
    await state.admit([Charge("warm", RATE)])
    redis.child.freeze()
    rates = [Rate(1, 1000.0, burst + 1) for burst in range(200)]
    calls = [
        asyncio.create_task(state.admit([Charge(f"key {rate.burst}", rate)])) for rate in rates
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    redis.child.thaw()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    for rate, answer in list(zip(rates, answers, strict=True))[1::2]:
        assert not isinstance(answer, BaseException)
        assert [outcome.left for outcome in answer] == [rate.burst - 1]


async def test_calls_of_one_loop_round_travel_together(redis: Running, state: RedisState) -> None:
    """A hundred calls are read by Redis in a few reads, on one connection."""
    # So that Redis knows the script, whose text would be sent a hundred times.
    await state.admit([Charge("key", Rate(10_000, 1.0, 1000))])
    before = await stats(redis)
    await asyncio.gather(
        *(state.admit([Charge("key", Rate(10_000, 1.0, 1000))]) for _ in range(100))
    )
    after = await stats(redis)
    # Each look at the numbers is a connection and a few reads of its own.
    assert after["total_reads_processed"] - before["total_reads_processed"] < 15
    assert after["total_connections_received"] - before["total_connections_received"] == 1


async def stats(running: Running) -> dict[str, int]:
    told = (await ask(running, "INFO", "stats")).decode().splitlines()
    pairs = (line.split(":") for line in told if ":" in line)
    return {name: int(number) for name, number in pairs if number.isdigit()}


async def test_a_lease_given_to_a_cancelled_caller_is_given_back(
    redis: Running, state: RedisState
) -> None:
    """Its client left while Redis was asked: nobody would give it back."""
    # So that Redis knows the scripts: what has to be sent again comes later than what was not.
    await state.admit([], [Lease("streams", 1)])
    state.release(["streams"])
    await state.check()
    await state.check()
    redis.child.freeze()
    call = asyncio.create_task(state.admit([], [Lease("streams", 1)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    redis.child.thaw()
    # What is asked now is answered after the answer that nobody waits for, which gives it back.
    await state.check()
    assert passed(await state.admit([], [Lease("streams", 1)])) == [True]


async def test_a_lease_whose_caller_is_cancelled_as_it_arrives_is_given_back(
    state: RedisState,
) -> None:
    """The answer is there, its caller has not run since: at each of the loop's steps."""
    for steps in range(12):
        await state.check()
        call = asyncio.create_task(state.admit([], [Lease("streams", 1)]))
        asked = await asked_by(state.calls)
        asked.add_done_callback(lambda _, steps=steps, call=call: cancel_in(steps, call))
        answers = await asyncio.gather(call, return_exceptions=True)
        if not isinstance(answers[0], asyncio.CancelledError):
            state.release(["streams"])
        await state.check()
        assert passed(await state.peek([], [Lease("streams", 1)])) == [True], steps


async def asked_by(calls: RedisCalls) -> asyncio.Future[object]:
    """The answer that is waited for, while it is on the way."""
    while not (calls._unsent or calls._sent):  # noqa: ASYNC110
        await asyncio.sleep(0)
    return (calls._unsent or calls._sent)[0].answer


def cancel_in(steps: int, call: asyncio.Task[object]) -> None:
    """After so many rounds of the loop."""
    if steps:
        asyncio.get_running_loop().call_soon(cancel_in, steps - 1, call)
    else:
        call.cancel()


async def test_a_renewal_counts_a_lease_that_is_being_asked_for(
    redis: Running, state: RedisState
) -> None:
    """Its worker does not hold it yet; without it one too many would be let in."""
    asked = asyncio.create_task(state.admit([], [Lease("streams", 1)]))
    await asyncio.sleep(0)
    await state.renew({})
    assert passed(await asked) == [True]
    assert passed(await state.peek([], [Lease("streams", 1)])) == [False]


async def test_a_renewal_counts_no_lease_that_was_refused(state: RedisState) -> None:
    """It was on the way when all were renewed: the one too many is given back."""
    assert passed(await state.admit([], [Lease("streams", 1)])) == [True]
    asked = asyncio.create_task(state.admit([], [Lease("streams", 1)]))
    await asyncio.sleep(0)
    await state.renew({"streams": 1})
    assert passed(await asked) == [False]
    await state.check()
    assert [one.left for one in await state.peek([], [Lease("streams", 2)])] == [0]


# --- What is in it --------------------------------------------------------------------------------


async def test_every_key_has_the_prefix_and_an_expiry_and_no_long_text(
    redis: Running, state: RedisState
) -> None:
    """Whatever was counted; what somebody made up stands there as a digest."""
    made_up = "login/account/" + "my secret pass word " * 10
    penalty = Penalty(0, 1.0, 60.0, 600.0)
    await state.admit(
        [Charge("query:run/subject/acme/ada", RATE), Charge(made_up, RATE)], [Lease("streams", 9)]
    )
    await state.renew({"streams": 1, "others": 2})
    await state.failed(["login/account/ada", made_up], penalty)
    await state.announce(15.0)
    keys = [line for line in (await ask(redis, "KEYS", "*")).decode().split() if "kbg" in line]
    assert len(keys) == 7
    assert all(key.startswith("kbg:") and "secret" not in key for key in keys)
    for key in keys:
        assert int((await ask(redis, "PTTL", key)).strip().removeprefix(b":")) > 0, key


async def test_what_is_reset_is_gone(redis: Running, state: RedisState) -> None:
    """Charges, leases and failures of a key, and of no other."""
    await state.admit([Charge("a", RATE), Charge("b", RATE)], [Lease("a", 2)])
    await state.failed(["a"], Penalty(0, 60.0, 60.0, 600.0))
    await state.reset(["a"])
    lefts = [one.left for one in await state.peek([Charge("a", RATE), Charge("b", RATE)])]
    assert lefts == [RATE.burst - 1, RATE.burst - 2]
    assert await state.wait_s(["a"]) == [0.0]
    assert passed(await state.peek([], [Lease("a", 1)])) == [True]


async def test_a_redis_that_forgot_the_scripts_is_told_them_again(
    redis: Running, state: RedisState
) -> None:
    """Once: the next call names them."""
    await state.admit([Charge("a", RATE)])
    await ask(redis, "SCRIPT", "FLUSH")
    both = await asyncio.gather(*(state.admit([Charge("a", RATE)]) for _ in range(2)))
    assert sorted(outcome.left for (outcome,) in both) == [RATE.burst - 3, RATE.burst - 2]


async def test_a_replicas_clock_changes_nothing(
    state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ninety seconds ahead or behind: neither let in sooner nor held up, and no lease is free."""
    rate, streams = Rate(1, 60.0, 1), Lease("streams", 1)
    assert passed(await state.admit([Charge("a", rate)], [streams])) == [True, True]
    for ahead_s in (90.0, -90.0):
        real = time.time()
        monkeypatch.setattr(time, "time", lambda at=real + ahead_s: at)
        charge, lease = await state.peek([Charge("a", rate)], [streams])
        assert (charge.passed, lease.passed) == (False, False)
        assert charge.retry_after_s == pytest.approx(60.0, abs=30.0)


async def test_what_is_known_beside_redis_is_owed_there_too(state: RedisState) -> None:
    """A charge may bring how long its key needs to be whole again, and how much to add to what
    Redis knows: the longer of both counts, and no key owes more than all of its burst."""
    rate = Rate(10, 10.0, 10)
    (first,) = await state.admit([Charge("a", rate)], owed=[Owed(7.0, 2.0)])
    assert first.passed
    (after,) = await state.peek([Charge("a", rate)])
    assert after.left == 2
    (second,) = await state.admit([Charge("a", rate, 0)], owed=[Owed(0.5, 1.0)])
    assert second.passed
    (added,) = await state.peek([Charge("a", rate)])
    assert added.left == 1
    await state.admit([Charge("a", rate, 0)], owed=[Owed(0.0, 100.0)])
    (spent,) = await state.peek([Charge("a", rate, 0)])
    assert (spent.left, round(spent.reset_s)) == (0, 10)


# --- When it is away ------------------------------------------------------------------------------


async def test_nobody_there_is_an_error_of_ours_at_once(redis: Running) -> None:
    """Stopped: refused. And with it back, the next call is answered on a new connection."""
    async with using(access(redis)) as state:
        await state.check()
        await redis.child.stop()
        with pytest.raises(SharedStateUnavailable):
            await state.admit([Charge("a", RATE)])
        with pytest.raises(SharedStateUnavailable):
            await state.admit([Charge("a", RATE)])
        await redis.start_again()
        assert passed(await state.admit([Charge("a", RATE)])) == [True]


async def test_a_frozen_redis_holds_nobody_longer_than_the_timeout(redis: Running) -> None:
    """All calls fail, whether they were sent or not, and none is answered with another's answer."""
    async with using(access(redis, SHORT_S)) as state:
        await answered(state)
        redis.child.freeze()
        async with asyncio.timeout(PATIENT_S):
            tries = [state.admit([Charge(f"key {n}", RATE)]) for n in range(20)]
            failures = await asyncio.gather(*tries, return_exceptions=True)
        assert {type(failure) for failure in failures} == {SharedStateUnavailable}
        redis.child.thaw()
        await answered(state)
    async with using(access(redis)) as patient:
        assert [one.left for one in await patient.peek([Charge("other", RATE)])] == [RATE.burst - 1]


async def answered(state: RedisState) -> None:
    """Until an answer came in time: with a short timeout on a busy machine not always the first."""
    async with asyncio.timeout(PATIENT_S):
        while True:
            try:
                await state.check()
            except SharedStateUnavailable:
                continue
            return


async def test_a_killed_redis_fails_what_was_on_the_way(redis: Running) -> None:
    """Its connection is reset: nobody waits for the timeout."""
    async with using(access(redis)) as state:
        await state.check()
        redis.child.freeze()
        call = asyncio.create_task(state.admit([Charge("a", RATE)]))
        await asyncio.sleep(0)
        redis.child.kill()
        with pytest.raises(SharedStateUnavailable):
            await call


async def test_a_full_redis_counts_nothing_and_says_so(redis: Running, state: RedisState) -> None:
    """It answers that it is out of memory: an error, and no charge."""
    await ask(redis, "CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(SharedStateUnavailable) as found:
        await state.admit([Charge("a", RATE)])
    assert "OOM" in str(found.value.__cause__) or "memory" in str(found.value.__cause__)
    await ask(redis, "CONFIG", "SET", "maxmemory", "0")
    assert [one.left for one in await state.peek([Charge("a", RATE)])] == [RATE.burst - 1]


async def test_an_emptied_redis_goes_on_counting(redis: Running, state: RedisState) -> None:
    """FLUSHALL gives one burst more, and no error."""
    outcomes: list[Outcome] = []
    for _ in range(2):
        for _ in range(RATE.burst + 1):
            outcomes += await state.admit([Charge("a", RATE)])
        await ask(redis, "FLUSHALL")
    assert passed(outcomes).count(True) in (2 * RATE.burst, 2 * RATE.burst + 1)


async def test_a_redis_that_evicts_is_no_shared_state(redis: Running, state: RedisState) -> None:
    """It may forget any count when its memory is full; the check says what has to be set."""
    await ask(redis, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(SharedStateUnavailable, match="noeviction"):
        await state.check()
    assert state.server.startswith(("redis ", "valkey "))


async def test_a_replica_of_redis_is_left_for_the_one_that_takes_writes(
    redis: Running, state: RedisState, tmp_path: Path
) -> None:
    """READONLY: the connection is closed, so that the next call asks again who is the master."""
    await state.check()
    before = (await stats(redis))["total_connections_received"]
    async with running_redis(tmp_path / "other") as other:
        await ask(redis, "REPLICAOF", *other.launch.address.split(":"))
        with pytest.raises(SharedStateUnavailable):
            await state.admit([Charge("a", RATE)])
        await ask(redis, "REPLICAOF", "NO", "ONE")
        assert passed(await state.admit([Charge("a", RATE)])) == [True]
    assert (await stats(redis))["total_connections_received"] >= before + 3


# --- For whom it is -------------------------------------------------------------------------------


async def test_a_wrong_password_is_an_error_that_does_not_tell_it(tmp_path: Path) -> None:
    """With the right one it is asked, in the database that was chosen."""
    async with running_redis(tmp_path / "redis", {"requirepass": "the-right-one"}) as running:
        for wrong in (None, "the-wrong-one"):
            async with using(access(running, password=wrong)) as state:
                with pytest.raises(SharedStateUnavailable) as found:
                    await state.check()
                assert "the-wrong-one" not in repr(found.value.__cause__)
        async with using(access(running, password="the-right-one", database=3)) as state:
            await state.admit([Charge("a", RATE)])
    assert "the-right-one" not in repr(access(running, password="the-right-one"))


@pytest.mark.parametrize("trusted", [True, False])
async def test_over_tls_both_sides_prove_themselves(trusted: bool, tmp_path: Path) -> None:
    """Redis asks for a certificate of ours; one of its own that we do not trust is refused."""
    theirs, ours = Authority(tmp_path / "theirs", "theirs"), Authority(tmp_path / "ours", "ours")
    stranger = Authority(tmp_path / "stranger", "stranger")
    shown, pair = theirs.issue(), ours.issue("gateway")
    settings = {
        "port": "0",
        "tls-port": str(free_port()),
        "tls-cert-file": str(shown.cert),
        "tls-key-file": str(shown.key),
        "tls-ca-cert-file": str(ours.ca),
    }
    authority = theirs if trusted else stranger
    context = client_context(authority.files(pair))
    async with (
        running_redis(tmp_path / "redis", settings) as running,
        using(access(running, tls=lambda: context)) as state,
    ):
        if trusted:
            assert passed(await state.admit([Charge("a", RATE)])) == [True]
        else:
            with pytest.raises(SharedStateUnavailable):
                await state.admit([Charge("a", RATE)])
