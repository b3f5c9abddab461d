"""Two replicas behind a real HAProxy, restarted one after the other under load: nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .conftest import Streaming
from .raw import exchange, read_answer, read_head, request
from .served import Served, free_port, served, until
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_query import terminal

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
# More than the load balancer takes to notice: two checks, each a fifth of a second after the other.
SETTINGS = {"DRAIN_GRACE": "2s", "DRAIN_LIMIT": "4s"}

# The stub ends each connection; said, so that nobody tries to use one twice.
HEAD = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

CONFIG = """
global
    maxconn 2000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    # Else a check has no more than the 200 ms between two, and one late answer of a replica while
    # the other one restarts would leave nobody to send a request to.
    timeout check 10s
    # What a load balancer may do without knowing HTTP's methods: nobody has read a refused request.
    retry-on conn-failure
    option redispatch 1
frontend public
    bind 127.0.0.1:{public}
    default_backend gateways
backend gateways
    option httpchk GET /readyz
    default-server check inter 200ms fall 1 rise 1
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two}
"""


@dataclass
class Seen:
    """How requests and streams went."""

    requests: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)


@contextlib.asynccontextmanager
async def haproxy(folder: Path, one: int, two: int) -> AsyncIterator[tuple[str, int]]:
    if HAPROXY is None:
        if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
            pytest.fail("HAProxy is not installed (Debian: apt-get install haproxy)")
        pytest.skip("HAProxy is not installed")
    address = ("127.0.0.1", free_port())
    config = folder / "haproxy.cfg"
    config.write_text(CONFIG.format(public=address[1], one=one, two=two))
    with (folder / "haproxy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(HAPROXY, "-db", "-f", str(config)), stdout=log, stderr=log
        )
    try:
        await _up(address)
        yield address
    finally:
        process.kill()
        await process.wait()


async def _up(address: tuple[str, int]) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if (await exchange(address, request("GET", "/readyz"))).status == 200:
                    return
            await asyncio.sleep(0.05)


async def test_a_rolling_restart_under_load_loses_nothing(core: StubCore, tmp_path: Path) -> None:
    """0 failed requests, 0 streams without their one last event."""
    core.script = SomeLongStreams()
    ports = {"one": free_port(), "two": free_port()}
    for name in ports:
        (tmp_path / name).mkdir()
    seen, stop = Seen(), asyncio.Event()
    async with contextlib.AsyncExitStack() as replicas:
        running = {
            name: await start(replicas, core, tmp_path / name, port) for name, port in ports.items()
        }
        async with haproxy(tmp_path, ports["one"], ports["two"]) as address:
            token = running["one"].token
            load = [
                asyncio.create_task(work(address, token, seen, stop))
                for work, number in ((ask_for_ever, 8), (stream_for_ever, 24))
                for _ in range(number)
            ]
            for name, port in ports.items():
                served_so_far = sum(seen.requests.values())
                await until(lambda so_far=served_so_far: sum(seen.requests.values()) > so_far + 50)
                running[name].signal(signal.SIGTERM)
                assert await running[name].ended() == 0
                (tmp_path / name / "gateway.log").unlink()
                await start(replicas, core, tmp_path / name, port)
            done = seen.streams.total()
            await until(lambda: seen.streams.total() > done + 24)
            stop.set()
            await asyncio.gather(*load)
    print(f"requests {dict(seen.requests)}, streams {dict(seen.streams)}")
    assert set(seen.requests) == {"200"}
    assert set(seen.streams) == {"done", "DRAINING"}
    assert seen.streams["done"] >= 24


async def start(
    replicas: contextlib.AsyncExitStack, core: StubCore, folder: Path, port: int
) -> Served:
    return await replicas.enter_async_context(served(core, folder, 2, port=port, **SETTINGS))


class SomeLongStreams:
    """A core whose streams take a second; each sixth outlasts the drain limit."""

    def __init__(self) -> None:
        self._begun = 0

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begun += 1
        writer.write(HEAD + chunk(META))
        for _number in range(10 if self._begun % 6 else 100):
            writer.write(chunk(TOKEN))
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(chunk(DONE) + END)


async def ask_for_ever(
    address: tuple[str, int], token: str, seen: Seen, stop: asyncio.Event
) -> None:
    """Small requests on a kept connection, a new one when the server says so."""
    headers = {"Authorization": f"Bearer {token}"}
    while not stop.is_set():
        reader, writer = await asyncio.open_connection(*address)
        try:
            while not stop.is_set():
                writer.write(request("GET", "/api/v1/auth/me", headers))
                answer = await read_answer(reader)
                seen.requests[str(answer.status)] += 1
                await asyncio.sleep(0.005)
                if answer.header("connection") == "close":
                    break
        except (ConnectionError, asyncio.IncompleteReadError) as exc:
            seen.requests[repr(exc)] += 1
        finally:
            writer.close()


async def stream_for_ever(
    address: tuple[str, int], token: str, seen: Seen, stop: asyncio.Event
) -> None:
    """One stream after the other, each on a connection of its own."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"query": "hi"}).encode()
    while not stop.is_set():
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(request("POST", "/api/v1/query", headers, body))
            status, head = await read_head(reader)
            stream = Streaming(reader, writer, status, dict(head))
            if status != 200:
                told = await reader.read(500)
                seen.streams[f"status {status}: {told!r}"] += 1
                continue
            raw = await stream.rest()
            seen.streams["done" if raw.endswith(DONE) else str(terminal(raw)["code"])] += 1
        except (ConnectionError, asyncio.IncompleteReadError, AssertionError) as exc:
            seen.streams[f"no last event: {exc!r}"] += 1
        finally:
            writer.close()
