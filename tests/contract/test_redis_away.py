"""A replica goes on when its Redis does not, and uses it again when it is back, by itself.

Every way in which a real Redis can be away; the memory is simulated, over the loop's own clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import httpx
import pytest

from devstack import components
from devstack.components import Launch, Running, find_program, free_port
from devstack.environment import inherited
from gateway.adapters.fallback_state import FallbackState
from gateway.adapters.redis_access import RedisAccess
from gateway.adapters.redis_state import NO_REPLICA, REPLICA, RedisState
from gateway.domain.limits import Charge, Lease, Rate
from gateway.errors import SharedStateUnavailable
from tests.components import component, running_redis
from tests.contract.test_mutual_tls import loaded, started, until
from tests.simulated_state import Simulated

PATIENT_S = 60.0
# Of a call: on a busy machine a live Redis must answer in it, and each frozen one costs it once.
TIMEOUT_S = 1.0
RATE = Rate(60, 3600.0, 10)


@dataclass
class Worker:
    """One worker's shared state, with its background work running."""

    state: FallbackState
    redis: RedisState
    memory: Simulated

    async def admit(self, key: str = "key", *leases: Lease) -> list[bool]:
        """Never raises, never waits for long."""
        async with asyncio.timeout(PATIENT_S):
            outcomes = await self.state.admit([Charge(key, RATE)], leases)
        return [outcome.passed for outcome in outcomes]

    async def reaches(self, *modes: str) -> None:
        async with asyncio.timeout(PATIENT_S):
            while self.state.mode not in modes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def worker(access: RedisAccess, replica: bytes = REPLICA) -> AsyncIterator[Worker]:
    loop = asyncio.get_running_loop()
    redis, memory = RedisState(lambda: access, replica), Simulated(loop.time)
    state = FallbackState(redis, memory, loop.time, Random())
    watching = asyncio.create_task(state.run())
    try:
        yield Worker(state, redis, memory)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await redis.aclose()


def access(address: str, **more: object) -> RedisAccess:
    host, _, port = address.rpartition(":")
    one = RedisAccess(((host, int(port)),), "kbg:", TIMEOUT_S)
    return replace(one, **more)  # type: ignore[arg-type]


async def ask(address: str, *words: str) -> str:
    """One command, on a connection of its own."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{' '.join(words)}\r\nQUIT\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


# --- Every way of being away ----------------------------------------------------------------------

Change = Callable[[Running], Awaitable[object]]


async def freeze(redis: Running) -> None:
    redis.child.freeze()


async def thaw(redis: Running) -> None:
    redis.child.thaw()


async def kill(redis: Running) -> None:
    redis.child.kill()
    await redis.child.wait()


async def start_killed(redis: Running) -> None:
    await redis.child.stop()
    await redis.start_again()


def config(name: str, value: str) -> Change:
    return lambda redis: ask(redis.launch.address, "CONFIG", "SET", name, value)


WAYS: dict[str, tuple[Change, Change]] = {
    "stopped": (lambda redis: redis.child.stop(), lambda redis: redis.start_again()),
    "killed": (kill, start_killed),
    "frozen": (freeze, thaw),
    "full": (config("maxmemory", "1"), config("maxmemory", "0")),
    "another's replica": (
        lambda redis: ask(redis.launch.address, "REPLICAOF", "127.0.0.1", "1"),
        lambda redis: ask(redis.launch.address, "REPLICAOF", "NO", "ONE"),
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_requests_go_on_while_redis_is_away_and_after(way: str, tmp_path: Path) -> None:
    """Each is answered, none fails; streams that were open before and meanwhile are counted in
    Redis as soon as it is back; what was charged meanwhile is charged there too."""
    leave, come_back = WAYS[way]
    streams = Lease("streams", 5)
    async with running_redis(tmp_path) as redis, worker(access(redis.launch.address)) as one:
        assert await one.admit("before", streams) == [True, True]
        await leave(redis)
        assert await one.admit("key", streams) == [True, True]
        assert one.state.mode == "alone"
        with pytest.raises(SharedStateUnavailable, match="Redis is away"):
            await one.state.check()
        assert await one.admit() == [True]
        await come_back(redis)
        await one.reaches("rejoining")
        charge = Charge("key", RATE)
        async with asyncio.timeout(PATIENT_S):
            while left_of(await one.redis.peek([charge], [streams])) != [7, 2]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        one.state.release(["streams"])
        assert await one.admit("key", streams) == [True, True]
        assert one.state.losses >= 1


def left_of(outcomes: object) -> list[int]:
    return [outcome.left for outcome in outcomes]  # type: ignore[attr-defined]


async def test_an_idle_replica_notices_that_redis_went_and_came(tmp_path: Path) -> None:
    """Its connection breaks: it does not take a request to find out."""
    async with running_redis(tmp_path) as redis, worker(access(redis.launch.address)) as one:
        assert await one.admit() == [True]
        await redis.child.stop()
        await one.reaches("alone")
        await redis.start_again()
        await one.reaches("rejoining")


async def test_a_redis_that_was_never_there_is_used_once_it_is(tmp_path: Path) -> None:
    """A replica that starts before its Redis starts all the same."""
    async with running_redis(tmp_path) as redis:
        await redis.child.stop()
        async with worker(access(redis.launch.address)) as one:
            assert await one.admit() == [True]
            await redis.start_again()
            await one.reaches("rejoining")


async def test_replicas_are_counted_and_share_while_redis_is_away(tmp_path: Path) -> None:
    """Two were seen, so that each lets half of the burst through. Workers of one are one, and who
    only looks, as ``gateway check`` does, is none."""
    names = (b"one", b"one", b"two", NO_REPLICA)
    async with running_redis(tmp_path) as redis, contextlib.AsyncExitStack() as stack:
        reached = access(redis.launch.address)
        workers = [await stack.enter_async_context(worker(reached, name)) for name in names]
        for one in (*workers, workers[0]):
            await one.state.look()
        assert workers[0].state.replicas == 2
        await redis.child.stop()
        passed = [await workers[0].admit() for _ in range(RATE.burst)]
        assert passed.count([True]) == RATE.burst // 2


async def test_an_emptied_redis_knows_the_open_streams_after_the_next_renewal(
    tmp_path: Path,
) -> None:
    """FLUSHALL: no error, no other mode; the renewal that comes anyway makes the leases again."""
    streams = Lease("streams", 2)
    async with running_redis(tmp_path) as redis, worker(access(redis.launch.address)) as one:
        assert await one.admit("key", streams) == [True, True]
        await ask(redis.launch.address, "FLUSHALL")
        await one.state.renew({"streams": 1})
        assert left_of(await one.redis.peek([], [streams])) == [0]
        assert (await one.admit(), one.state.mode) == ([True], "shared")


async def test_a_wrong_password_counts_as_away(tmp_path: Path) -> None:
    """Until it is right, in Redis or, at a reload, here."""
    async with (
        running_redis(tmp_path, {"requirepass": "right"}) as redis,
        worker(access(redis.launch.address, password="wrong")) as one,
    ):
        assert await one.admit() == [True]
        assert one.state.mode == "alone"
        with pytest.raises(SharedStateUnavailable) as found:
            await one.state.check()
        assert "wrong" not in found.value.message.replace("WRONGPASS", "")
        right = access(redis.launch.address, password="right")
        address = redis.launch.address
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"AUTH right\r\nCONFIG SET requirepass wrong\r\nQUIT\r\n")
        await reader.read()
        writer.close()
        await one.reaches("rejoining")
        assert right.password not in repr(right)


async def test_another_password_is_taken_over_by_a_reload(tmp_path: Path) -> None:
    """A rotation needs no restart: Redis knows both for a while, and we are told the new one."""
    async with running_redis(tmp_path, {"requirepass": "second"}) as redis:
        url = f"redis://{redis.launch.address}"
        old = loaded(REDIS_URL=url, REDIS_PASSWORD="first")
        async with started(old) as services:
            check = services.checks()["state"]
            with pytest.raises(SharedStateUnavailable):
                await check()
            await services.reload(replace(old, redis_password="second"))

            async def answered() -> bool:
                with contextlib.suppress(SharedStateUnavailable):
                    await check()
                    return True
                return False

            await until(answered)


# --- Sentinels ------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def sentinel(master: str, folder: Path) -> AsyncIterator[Running]:
    """One sentinel, alone entitled to choose another master, a third of a second after a death."""
    await asyncio.to_thread(folder.mkdir)
    host, _, port = master.rpartition(":")

    def plan() -> Launch:
        own = free_port()
        file = folder / "sentinel.conf"
        file.write_text(
            f"bind 127.0.0.1\nport {own}\ndir {folder}\n"
            f"sentinel monitor main {host} {port} 1\n"
            "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 1000\n"
        )
        command = [str(component("redis").path), str(file), "--sentinel"]
        return Launch(command, f"127.0.0.1:{own}", lambda _: knows(f"127.0.0.1:{own}"))

    running = await components.start(
        "sentinel", plan, env=inherited(os.environ), cwd=folder, timeout_s=PATIENT_S
    )
    try:
        yield running
    finally:
        await running.child.stop()


async def knows(sentinel: str) -> bool:
    """Whether it found the master's replica: before it has, there is nobody to choose."""
    host, _, port = sentinel.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.write(b"INFO sentinel\r\n")
    said = await reader.read(65536)
    writer.close()
    return b"slaves=1" in said


async def test_a_fail_over_by_sentinel_is_followed(tmp_path: Path) -> None:
    """The master is killed: alone for as long as it takes to choose another, then on that one."""
    async with (
        running_redis(tmp_path / "first") as first,
        running_redis(tmp_path / "second") as second,
    ):
        await ask(second.launch.address, "REPLICAOF", *first.launch.address.split(":"))
        async with sentinel(first.launch.address, tmp_path / "sentinel") as known:
            host, _, port = known.launch.address.rpartition(":")
            gone = ("127.0.0.1", free_port())
            addresses = (gone, (host, int(port)))
            reached = access(first.launch.address, addresses=addresses, master="main")
            async with worker(reached) as one:
                assert await one.admit("key", Lease("streams", 5)) == [True, True]
                assert one.state.mode == "shared"
                first.child.kill()
                await one.reaches("alone")
                assert await one.admit() == [True]
                await one.reaches("rejoining")
                assert "kbg:l:streams" in await ask(second.launch.address, "KEYS", "*")


# --- Far away -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def far_away(address: str, folder: Path, latency_ms: int) -> AsyncIterator[str]:
    """The address behind toxiproxy, each answer later by ``latency_ms``."""
    program = find_program("toxiproxy-server")
    if program is None:
        pytest.skip("toxiproxy-server is missing: python -m devstack.fetch builds it")
    running = await components.start(
        "toxiproxy",
        lambda: toxiproxy(str(program)),
        env=inherited(os.environ),
        cwd=folder,
        timeout_s=PATIENT_S,
    )
    try:
        listen = f"127.0.0.1:{free_port()}"
        async with httpx.AsyncClient(base_url=running.launch.address, trust_env=False) as api:
            proxy = {"name": "redis", "listen": listen, "upstream": address}
            (await api.post("/proxies", json=proxy)).raise_for_status()
            toxic = {"type": "latency", "attributes": {"latency": latency_ms}}
            (await api.post("/proxies/redis/toxics", json=toxic)).raise_for_status()
        yield listen
    finally:
        await running.child.stop()


def toxiproxy(program: str) -> Launch:
    port = free_port()
    command = [program, "-host", "127.0.0.1", "-port", str(port)]
    return Launch(command, f"http://127.0.0.1:{port}", components.answering(port, "/version"))


async def test_calls_to_a_slow_redis_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """50 ms away: fifty calls, begun one after the other while others are on the way, take far less
    than fifty ways, and the limit holds."""
    async with (
        running_redis(tmp_path / "redis") as redis,
        far_away(redis.launch.address, tmp_path, 50) as listen,
        worker(access(listen)) as one,
    ):
        await one.admit("warm")
        loop = asyncio.get_running_loop()
        began = loop.time()
        calls: list[asyncio.Task[list[bool]]] = []
        for _ in range(50):
            calls.append(asyncio.create_task(one.admit()))
            await asyncio.sleep(0)
        passed = await asyncio.gather(*calls)
        assert one.state.mode == "shared"
        assert passed.count([True]) == RATE.burst
        assert loop.time() - began < 50 * 0.05
