"""The whole gateway on a real socket, with a stub core and all other dependencies in memory.

Real here: Sanic and everything in ``edge``, the pipeline, the embedded policy, tokens, the core's
client. In memory: users, key store, object store and workflows, which have suites of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import httpx
import pytest
import uvloop
from sanic.server.protocols.http_protocol import HttpProtocol
from sanic.touchup.service import TouchUp

from blueprints.api import API
from gateway.adapters.core_calls import CoreCalls
from gateway.adapters.core_http import CoreHttp
from gateway.adapters.oidc_provider import OidcProvider
from gateway.app import Application, create_app
from gateway.domain.balancing import Address, Balancer
from gateway.edge.http.mounting import Api
from gateway.edge.tasks import Tasks
from gateway.http_client.transport import CoreTransport
from gateway.settings import Settings
from gateway.wiring import dependencies
from gateway.wiring.company import PEOPLE
from gateway.wiring.dependencies import CORE, KEYS, REVOCATIONS, STORAGE, TEMPORAL
from gateway.wiring.dependency import Building, Built, Dependency
from gateway.wiring.from_settings import core_timeouts
from gateway.wiring.revocation_ways import RevocationWays
from gateway.wiring.services import Local, Services, assemble
from gateway.wiring.shared_state import REPLICA, STATE
from tests.counting import CountingState
from tests.unit.identity_fakes import MemoryPeople

from .company import IssuerServer
from .fakes import (
    PASSWORD,
    DictUsers,
    MemoryKeys,
    MemoryRevocations,
    MemoryStore,
    MemoryWorkflows,
    MovableClock,
    PlainPasswords,
    some_users,
)
from .raw import TIMEOUT_S, read_chunk, read_head, request
from .stub_core import StubCore, stub_core

_numbers = itertools.count()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, on which ``gateway serve`` runs; modules that say ``BOTH_LOOPS`` on asyncio's too."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if getattr(getattr(item, "module", None), "BOTH_LOOPS", False):
        loops["asyncio"] = asyncio.new_event_loop
    return loops


ENVIRONMENT = {
    "GATEWAY_JWT_SECRET": "an edge test's secret of forty bytes....",
    "GATEWAY_ADMIN_USERNAME": "root",
    "GATEWAY_ADMIN_PASSWORD": PASSWORD,
    "GATEWAY_CORE_TOKEN": "core-token",
    "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:1",
    "GATEWAY_S3_BUCKET": "documents",
    "GATEWAY_S3_KEYS_BUCKET": "gateway-keys",
    "GATEWAY_S3_ACCESS_KEY": "access",
    "GATEWAY_S3_SECRET_KEY": "secret",
    "GATEWAY_ADMIN_LISTEN_PORT": "0",
    "GATEWAY_DRAIN_GRACE": "0s",
    "GATEWAY_DRAIN_LIMIT": "0s",
    # What a busy machine does to a clock is no subject of these tests.
    "GATEWAY_POLICY_BUDGET": "10s",
    "GATEWAY_IO_DEADLINE": "20s",
}


@dataclass
class Streaming:
    """An answer under way."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int
    headers: dict[str, str]

    async def until(self, ending: bytes) -> bytes:
        """All chunks up to one that ends so."""
        seen = b""
        async with asyncio.timeout(TIMEOUT_S):
            while not seen.endswith(ending):
                piece = await read_chunk(self.reader)
                assert piece, seen
                seen += piece
        return seen

    async def rest(self) -> bytes:
        """What is left of a body that ends as HTTP says it should."""
        seen = b""
        async with asyncio.timeout(TIMEOUT_S):
            if (length := self.headers.get("content-length")) is not None:
                return await self.reader.readexactly(int(length))
            assert self.headers.get("transfer-encoding") == "chunked", self.headers
            while piece := await read_chunk(self.reader):
                seen += piece
        return seen


@dataclass
class Gateway:
    """A running gateway and the world around it."""

    client: httpx.AsyncClient
    address: tuple[str, int]
    core: StubCore
    users: DictUsers
    clock: MovableClock
    keys: MemoryKeys
    revocations: MemoryRevocations
    store: MemoryStore
    workflows: MemoryWorkflows
    state: CountingState
    application: Application
    server: Any
    trust: ssl.SSLContext | None = None
    grpc_port: int = 0
    issuer: IssuerServer | None = None

    @property
    def app(self) -> Any:
        """Sanic's part of it."""
        return self.application.sanic

    async def drain(self) -> None:
        """What a stop signal starts, up to where no request is under way."""
        await self.server.before_stop()

    async def asking(
        self,
        body: bytes = b'{"query": "hi"}',
        credential: dict[str, str] | None = None,
        path: str = "/api/v1/query",
        **headers: str,
    ) -> Streaming:
        """A query by alice (or by ``credential``) on a socket of its own, its head read."""
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.trust)
        typed = {"Content-Type": "application/json", **(credential or await self.bearer())}
        typed.update(headers)
        writer.write(request("POST", path, typed, body))
        async with asyncio.timeout(TIMEOUT_S):
            status, head = await read_head(reader)
        return Streaming(reader, writer, status, dict(head))

    def subject(self, username: str = "alice") -> str:
        """Whom the gateway takes the user for."""
        return username if self.issuer is None else self.issuer.subject(username)

    async def token(self, username: str = "alice") -> str:
        if self.issuer is not None:
            return self.issuer.token_of(username, self.clock.now)
        response = await self.client.post(
            "/auth/login", json={"username": username, "password": PASSWORD}
        )
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    async def bearer(self, username: str = "alice") -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.token(username)}"}


def with_stand_ins(core_url: str, in_memory: Mapping[str, Any]) -> list[Dependency[Any]]:
    """All that is declared; the core without discovery, and those ``in_memory`` by their names."""

    async def core(building: Building) -> Built[Any]:
        if core_url.startswith("grpc"):
            from gateway.wiring.core_over_grpc import over_grpc

            over, _ = over_grpc(building, Balancer(Random(), [Address(core_url)]), CoreCalls)
            return Built(over, over.check)
        transport = CoreTransport(limit=building.settings.core_connections)
        building.closing.push_async_callback(transport.aclose)
        client = CoreHttp(
            transport,
            [core_url],
            building.settings.core_token,
            timeouts=core_timeouts(building.settings),
            body_limit_bytes=building.settings.answer_limit,
        )
        return Built(client, client.check)

    def stand_in(adapter: Any) -> Callable[[Building], Awaitable[Built[Any]]]:
        async def build(_: Building) -> Built[Any]:
            return Built(adapter, lambda: adapter.check(0.0))

        return build

    builders = {CORE.name: core, **{name: stand_in(one) for name, one in in_memory.items()}}
    return [
        replace(one, build=builders.get(one.name, one.build)) for one in dependencies.DEPENDENCIES
    ]


@contextlib.asynccontextmanager
async def running_gateway(
    core: StubCore,
    protocol: type[HttpProtocol] | None = None,
    trust: ssl.SSLContext | None = None,
    revocations: MemoryRevocations | None = None,
    workflows: MemoryWorkflows | None = None,
    keys: MemoryKeys | None = None,
    api: Api = API,
    issuer: IssuerServer | None = None,
    clock: MovableClock | None = None,
    **settings: str,
) -> AsyncIterator[Gateway]:
    """``settings`` are environment names without their prefix: ``CORS_ORIGINS="…"``.

    ``protocol`` is another than the application's own; ``trust`` is what clients bring to a gateway
    that serves HTTPS. With ``REDIS_URL`` a real Redis counts. ``revocations``, ``workflows`` and
    ``keys`` are kept where another gateway of the test keeps them, too. ``api`` are other versions.
    With an ``issuer`` its users are people of a company, by the same names.
    """
    environ = {**ENVIRONMENT, "GATEWAY_SERVICES_CORE": core.url}
    settings = {**(issuer.settings if issuer else {}), **settings}
    environ.update({f"GATEWAY_{name}": text for name, text in settings.items()})
    users, clock, keys = some_users(), clock or MovableClock(), keys or MemoryKeys()
    revocations = revocations or MemoryRevocations()
    store, workflows = MemoryStore(), workflows or MemoryWorkflows()
    state, people = CountingState(clock.monotonic), MemoryPeople()

    async def build(loaded: Settings, tasks: Tasks) -> Services:
        local = Local(clock, users, PlainPasswords())  # type: ignore[arg-type]
        in_memory: dict[str, Any] = {
            STORAGE.name: store,
            KEYS.name: keys,
            REVOCATIONS.name: RevocationWays(revocations),
            TEMPORAL.name: workflows,
            REPLICA.name: state,
            PEOPLE.name: people,
        }
        if loaded.redis_url is None:
            in_memory[STATE.name] = state
        return await assemble(loaded, tasks, local, with_stand_ins(core.url, in_memory))

    application = create_app(
        Settings.load(environ), build=build, name=f"edge_{next(_numbers)}", api=api
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = await application.sanic.create_server(
        sock=listener,
        return_asyncio_server=True,
        protocol=protocol or application.protocol,  # type: ignore[arg-type]
    )
    await server.startup()
    # Sanic rewrites its own methods when an application starts, and can do so once a process.
    TouchUp._registry.clear()
    await server.before_start()
    await server.after_start()
    await server.start_serving()
    address = listener.getsockname()
    try:
        scheme, checked = ("http", True) if trust is None else ("https", trust)
        async with httpx.AsyncClient(
            base_url=f"{scheme}://{address[0]}:{address[1]}", timeout=30, verify=checked
        ) as client:
            world = (core, users, clock, keys, revocations, store, workflows, state)
            grpc_port = int(settings.get("GRPC_PORT", 0))
            last = (application, server, trust, grpc_port, issuer)
            yield Gateway(client, address, *world, *last)
    finally:
        await server.before_stop()
        await server.close()
        for connection in tuple(server.connections):
            connection.abort()
        await server.after_stop()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the company's provider, whose deadlines no setting has: as above."""
    monkeypatch.setattr("gateway.flows.browser_sign_in.ANSWER_S", 30.0)
    defaults = OidcProvider.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "budget_s", 30.0)


@pytest.fixture
async def core() -> AsyncIterator[StubCore]:
    async with stub_core() as running:
        yield running


@pytest.fixture
async def gateway(core: StubCore) -> AsyncIterator[Gateway]:
    async with running_gateway(core) as running:
        yield running
