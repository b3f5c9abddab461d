"""A log that is not read, cannot be written or is not there takes nothing away from the service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from .raw import exchange, read_head, request
from .served import START_S, Served, environment, free_port, until
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
from .test_supervision import ending_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
STREAMS = 200
REQUESTS = 10_000
CLIENTS = 20


@contextlib.contextmanager
def unread_pipe(_folder: Path) -> Iterator[int]:
    read_end, write_end = os.pipe()
    try:
        yield write_end
    finally:
        os.close(read_end)
        os.close(write_end)


@contextlib.contextmanager
def broken_pipe(_folder: Path) -> Iterator[int]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        yield write_end
    finally:
        os.close(write_end)


@contextlib.contextmanager
def full_disk(_folder: Path) -> Iterator[int]:
    with open("/dev/full", "wb") as full:
        yield full.fileno()


@contextlib.contextmanager
def closed(_folder: Path) -> Iterator[None]:
    yield None


LOGS: dict[str, Callable[[Path], contextlib.AbstractContextManager[int | None]]] = {
    "a pipe nobody reads": unread_pipe,
    "a pipe nobody holds": broken_pipe,
    "a full disk": full_disk,
    "no descriptor": closed,
}


@contextlib.asynccontextmanager
async def serving(
    core: StubCore, folder: Path, stderr: int | None, admin_port: int, **settings: str
) -> AsyncIterator[Served]:
    """Two workers whose log nobody can ask: they are ready when both have an address."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--workers", "2"]
    if stderr is None:
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment(core, port, {"ADMIN_LISTEN_PORT": str(admin_port), **settings}),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL if stderr is None else stderr,
        start_new_session=True,
    )
    running = Served(process, ("127.0.0.1", port), folder / "none")
    try:
        async with asyncio.timeout(START_S):
            while await ready_workers(admin_port) != 2:
                assert process.returncode is None, process.returncode
                await asyncio.sleep(0.05)
        running.token = await running.log_in()
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def metric(admin_port: int, pattern: str) -> float:
    """The value of the one series that ``pattern`` matches; 0 where there is none yet."""
    try:
        answer = await exchange(("127.0.0.1", admin_port), request("GET", "/metrics", {}))
    except OSError:
        return 0.0
    found = re.search(rf"^{pattern} (\S+)$", answer.body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def ready_workers(admin_port: int) -> int:
    return int(await metric(admin_port, r'gateway_workers\{state="ready"\}'))


async def lines_dropped(admin_port: int) -> float:
    return await metric(admin_port, "gateway_log_lines_dropped_total")


def workers_of(running: Served) -> list[int]:
    pid = running.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def ask_many(running: Served, times: int) -> Counter[int]:
    """One after another on a connection that stays."""
    statuses: Counter[int] = Counter()
    reader, writer = await asyncio.open_connection(*running.address)
    for _ in range(times):
        writer.write(request("GET", "/healthz", {}))
        status, head = await read_head(reader)
        await reader.readexactly(int(dict(head)["content-length"]))
        statuses[status] += 1
    writer.close()
    return statuses


@pytest.mark.parametrize("log", LOGS)
async def test_a_log_that_takes_nothing_stops_nothing(
    core: StubCore, tmp_path: Path, log: str
) -> None:
    """10,000 requests, 200 streams, a killed worker and the end; what was dropped is counted."""
    admin_port = free_port()
    go_on = core.holds(STREAM_HEAD, chunk(META), then=chunk(DONE) + END)
    with LOGS[log](tmp_path) as stderr:
        async with serving(core, tmp_path, stderr, admin_port) as running:
            streams = await asyncio.gather(*(running.asking() for _ in range(STREAMS)))
            answered = await asyncio.gather(
                *(ask_many(running, REQUESTS // CLIENTS) for _ in range(CLIENTS))
            )
            assert sum(answered, Counter()) == {200: REQUESTS}
            for stream in streams:
                await stream.until(META)
            # At least one worker has had more lines than it keeps. Its count is shared once a
            # tick, so it is awaited before a worker is killed.
            while stderr is not None and not await lines_dropped(admin_port):
                assert running.process.returncode is None
                await asyncio.sleep(0.05)
            victim = workers_of(running)[0]
            os.kill(victim, signal.SIGKILL)
            await until(lambda: len(set(workers_of(running)) - {victim}) == 2)
            go_on.set()
            endings = Counter(await asyncio.gather(*(ending_of(stream) for stream in streams)))
            assert set(endings) == {"done", "broken"}
            assert endings["done"] >= STREAMS // 10
            assert (await lines_dropped(admin_port) > 0) == (stderr is not None)
            running.signal(signal.SIGTERM)
            assert await running.ended() == 0


async def test_lines_that_the_supervisor_drops_are_counted_too(
    core: StubCore, tmp_path: Path
) -> None:
    """A reload whose many faults nobody reads: no worker has written a line of them."""
    admin_port, config = free_port(), tmp_path / "gateway.toml"
    config.write_text('log_level = "info"\n')
    with unread_pipe(tmp_path) as stderr:
        async with serving(core, tmp_path, stderr, admin_port, CONFIG_FILE=str(config)) as running:
            assert await lines_dropped(admin_port) == 0
            faults = (f"{letter * 8000}{n} = 1\n" for n in range(40) for letter in "pqrs")
            config.write_text("".join(faults))
            running.signal(signal.SIGHUP)

            async with asyncio.timeout(60):
                while not await lines_dropped(admin_port):
                    assert running.process.returncode is None
                    await asyncio.sleep(0.05)
            assert (await ask_many(running, 10)) == {200: 10}
            running.signal(signal.SIGTERM)
            assert await running.ended() == 0
