"""Mutual TLS to all that a worker calls, as it is built to speak it.

Each peer is the real component with TLS in front of it that asks for a certificate of ours (OPA
and Redis do both by themselves); the core is a stub. What is asked is what readiness asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devstack.components import free_port
from gateway.adapters.policy_bundle import policy_files
from gateway.edge.tasks import Tasks
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.wiring.services import Services, build_services
from tests.certificates import Authority, Pair, asking_server, expired
from tests.components import component, running_redis
from tests.edge.stub_core import stub_core
from tests.system.core_fixtures import BUCKET, running_temporal, versioned_bucket

from .played_core import Call
from .played_grpc import GRPC

PATIENT_S = 60.0
# Peer → the dependencies it is behind, by their names in readiness.
PEERS = {
    "core": ["core"],
    "core over gRPC": ["core"],
    "opa": ["policy"],
    "s3": ["storage"],
    "temporal": ["temporal"],
    "redis": ["state"],
}

ENVIRONMENT = {
    "GATEWAY_JWT_SECRET": "a secret of the test, forty bytes long....",
    "GATEWAY_ADMIN_USERNAME": "root",
    "GATEWAY_ADMIN_PASSWORD": "a password of the test",
    "GATEWAY_CORE_TOKEN": "core-token",
    "GATEWAY_SERVICES_CORE": "http://127.0.0.1:1",
    "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:1",
    "GATEWAY_S3_BUCKET": BUCKET,
    "GATEWAY_S3_KEYS_BUCKET": "gateway-keys",
    "GATEWAY_S3_ACCESS_KEY": "access",
    "GATEWAY_S3_SECRET_KEY": "secret",
    "GATEWAY_POLICY_BUDGET": "10s",
    "GATEWAY_IO_DEADLINE": "20s",
    "GATEWAY_REDIS_TIMEOUT": "10s",
}


@dataclass
class Front:
    """TLS before a port that speaks in the clear. ``context`` may be another one at any time."""

    target: int
    context: ssl.SSLContext
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
            copies = (copy(reader, far), copy(far_reader, writer))
            # The test is over: asyncio would log a cancelled handler as an error.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(*copies)
            far.close()
        finally:
            writer.close()
            self.tasks.discard(task)

    def newest(self, connection: ssl.SSLObject, _name: object, _context: object) -> None:
        connection.context = self.context


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65536):
        writer.write(block)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def fronted(target: int, context: ssl.SSLContext, alpn: str) -> AsyncIterator[Front]:
    front = Front(target, context)
    context.set_alpn_protocols([alpn])
    context.sni_callback = front.newest
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0, ssl=context)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        for task in tuple(front.tasks):
            task.cancel()
        await asyncio.gather(*front.tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def opa_with_tls(pair: Pair, authority: Authority) -> AsyncIterator[int]:
    """OPA's own mutual TLS."""
    port = free_port()
    process = subprocess.Popen(  # noqa: ASYNC220
        [
            *(component("opa").path, "run", "--server", "--addr", f"127.0.0.1:{port}"),
            *("--log-level", "error", "--skip-version-check", "--authentication=tls"),
            *("--tls-cert-file", pair.cert, "--tls-private-key-file", pair.key),
            *("--tls-ca-cert-file", authority.ca, "--tls-cert-refresh-period", "50ms"),
            *(policy_files() / "gateway", policy_files() / "data.json"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await listening(port)
        yield port
    finally:
        process.kill()
        process.wait()


async def listening(port: int) -> None:
    async with asyncio.timeout(PATIENT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


@contextlib.asynccontextmanager
async def peer(
    name: str, pair: Pair, ours: Authority, folder: Path
) -> AsyncIterator[dict[str, str]]:
    """A running peer that shows ``pair`` and asks for a certificate of ``ours``: its settings."""
    context = asking_server(pair, ours)
    async with contextlib.AsyncExitStack() as stack:
        if name == "opa":
            port = await stack.enter_async_context(opa_with_tls(pair, ours))
            yield {"SERVICES_OPA": f"https://127.0.0.1:{port}"}
        elif name == "core":
            core = await stack.enter_async_context(stub_core())
            target = int(core.url.rpartition(":")[2])
            front = await stack.enter_async_context(fronted(target, context, "http/1.1"))
            yield {"SERVICES_CORE": f"https://127.0.0.1:{front.port}"}
        elif name == "core over gRPC":
            played = await stack.enter_async_context(GRPC.playing(healthy))
            front = await stack.enter_async_context(fronted(played.wire.port, context, "h2"))
            yield {"SERVICES_CORE": f"grpcs://127.0.0.1:{front.port}"}
        elif name == "redis":
            redis = await stack.enter_async_context(running_redis(folder, with_tls(pair, ours)))
            yield {"REDIS_URL": f"rediss://{redis.launch.address}"}
        elif name == "s3":
            bucket = await stack.enter_async_context(versioned_bucket(folder))
            target = int(bucket.endpoint.rpartition(":")[2])
            front = await stack.enter_async_context(fronted(target, context, "http/1.1"))
            yield {
                "S3_ENDPOINT": f"https://127.0.0.1:{front.port}",
                "S3_ACCESS_KEY": bucket.access_key,
                "S3_SECRET_KEY": bucket.secret_key,
            }
        else:
            temporal = await stack.enter_async_context(running_temporal())
            target = int(temporal.client.service_client.config.target_host.rpartition(":")[2])
            front = await stack.enter_async_context(fronted(target, context, "h2"))
            address = f"127.0.0.1:{front.port}"
            yield {"SERVICES_TEMPORAL": address, "TEMPORAL_TLS": "true"}


async def healthy(call: Call) -> None:
    await call.reply({})


def with_tls(pair: Pair, authority: Authority) -> dict[str, str]:
    """Redis's own mutual TLS."""
    return {
        "port": "0",
        "tls-port": str(free_port()),
        "tls-cert-file": str(pair.cert),
        "tls-key-file": str(pair.key),
        "tls-ca-cert-file": str(authority.ca),
    }


def loaded(**settings: str) -> Settings:
    environ = {**ENVIRONMENT, **{f"GATEWAY_{name}": text for name, text in settings.items()}}
    return Settings.load(environ)


@contextlib.asynccontextmanager
async def worker(**settings: str) -> AsyncIterator[Services]:
    """What a worker runs on, built as ``gateway serve`` builds it."""
    async with started(loaded(**settings)) as services:
        yield services


@contextlib.asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[Services]:
    tasks = Tasks()
    services = await build_services(settings, tasks)
    try:
        yield services
    finally:
        await tasks.stop()
        await services.aclose()


def files(name: str, authority: Authority, pair: Pair | None) -> dict[str, str]:
    name = name.removesuffix(" over gRPC")
    told = {f"{name}_CA_FILE": str(authority.ca)}
    if pair is not None:
        told |= {f"{name}_CERT_FILE": str(pair.cert), f"{name}_KEY_FILE": str(pair.key)}
    return {key.upper(): path for key, path in told.items()}


async def answers(services: Services, name: str) -> bool:
    """Whether the peer was asked and answered well; a refusal is one of ours, never a surprise."""
    try:
        for dependency in PEERS[name]:
            await services.checks()[dependency]()
    except GatewayError:
        return False
    return True


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENT_S):
        while not await reached():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", PEERS)
async def test_a_peer_is_spoken_to_only_when_both_sides_prove_themselves(
    name: str, tmp_path: Path
) -> None:
    """Right on both sides: an answer. Another authority, the wrong one of ours, none, an expired
    one: no answer, and the gateway's own error."""
    theirs, ours = Authority(tmp_path / "theirs", "theirs"), Authority(tmp_path / "ours", "ours")
    stranger = Authority(tmp_path / "stranger", "stranger")
    async with peer(name, theirs.issue(), ours, tmp_path / "data") as address:
        good = files(name, theirs, ours.issue("gateway"))
        async with worker(**address, **good) as services:
            await until(lambda: answers(services, name))
        for bad in (
            files(name, stranger, ours.issue("gateway")),
            files(name, theirs, stranger.issue("gateway")),
            files(name, theirs, expired(ours)),
            files(name, theirs, None),
        ):
            async with worker(**address, **bad) as services:
                assert not await answers(services, name), bad


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("wrong", ["host", "expired"])
async def test_a_peer_with_a_wrong_certificate_is_not_spoken_to(
    name: str, wrong: str, tmp_path: Path
) -> None:
    """One for another host, or one that was good yesterday, however trusted its authority is."""
    theirs, ours = Authority(tmp_path / "theirs", "theirs"), Authority(tmp_path / "ours", "ours")
    shown = theirs.issue("peer", "peer.example") if wrong == "host" else expired(theirs)
    async with (
        peer(name, shown, ours, tmp_path / "data") as address,
        worker(**address, **files(name, theirs, ours.issue("gateway"))) as services,
    ):
        assert not await answers(services, name)


@pytest.mark.parametrize("name", PEERS)
async def test_changed_files_are_taken_over_for_new_connections(name: str, tmp_path: Path) -> None:
    """The gateway began with a certificate the peer refuses; the right one is put in its place."""
    theirs, ours = Authority(tmp_path / "theirs", "theirs"), Authority(tmp_path / "ours", "ours")
    pair = expired(ours, "gateway")
    async with (
        peer(name, theirs.issue(), ours, tmp_path / "data") as address,
        worker(**address, **files(name, theirs, pair)) as services,
    ):
        assert not await answers(services, name)
        ours.issue("gateway")
        services.reload_if_changed()
        await until(lambda: answers(services, name))


@pytest.mark.parametrize("name", PEERS)
async def test_an_authority_that_is_replaced_is_believed_no_more(name: str, tmp_path: Path) -> None:
    """The peer still shows a certificate of the one before: no new connection is made to it."""
    theirs, ours = Authority(tmp_path / "theirs", "theirs"), Authority(tmp_path / "ours", "ours")
    async with (
        peer(name, theirs.issue(), ours, tmp_path / "data") as address,
        worker(**address, **files(name, theirs, ours.issue("gateway"))) as services,
    ):
        await until(lambda: answers(services, name))
        Authority(tmp_path / "theirs", "theirs")
        services.reload_if_changed()

        async def refused() -> bool:
            return not await answers(services, name)

        await until(refused)


@pytest.mark.parametrize("name", PEERS)
async def test_a_worker_that_starts_while_a_file_is_gone_has_one_peer_down(
    name: str, tmp_path: Path
) -> None:
    """One that takes another's place must start all the same; the file's return mends it."""
    theirs, ours = Authority(tmp_path / "theirs", "theirs"), Authority(tmp_path / "ours", "ours")
    async with peer(name, theirs.issue(), ours, tmp_path / "data") as address:
        settings = loaded(**address, **files(name, theirs, ours.issue("gateway")))
        content = theirs.ca.read_bytes()
        theirs.ca.unlink()
        async with started(settings) as services:
            assert not await answers(services, name)
            theirs.ca.write_bytes(content)
            services.reload_if_changed()
            await until(lambda: answers(services, name))
