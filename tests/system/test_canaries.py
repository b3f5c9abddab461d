"""Canaries in every credential, and a search for them wherever something is written or sent.

A gateway of its own, on HTTPS, beside the stack's components. What it sends to each of them goes
through a recorder. It is taken through good work, refusals and the loss of each dependency, a
worker of it is killed with a core dump allowed, and then everything is searched: logs, metrics,
readiness, traces, every answer's body, the folder it ran in, and what each component was sent.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import resource
import secrets
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.components import free_port
from devstack.stack import Stack
from gateway.adapters.argon2_passwords import hash_password
from gateway.adapters.users_file import editing
from gateway.domain.identity import User
from gateway.settings import SPECS
from tests.certificates import Authority, client

from .people import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

CONTENT = b"The canary of Harz is yellow and sings all day long."


def canary(what: str) -> str:
    return f"canary-{what}-{secrets.token_hex(16)}"


class Recorder:
    """Passes on to ``target`` and keeps what was sent there; ``open`` false refuses all."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition("://")[2].rpartition(":")
        self._target = (host, int(port))
        self.sent = bytearray()
        self.open = True
        self.port = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.open:
                far_reader, far = await asyncio.open_connection(*self._target)
                copies = (self._copy(reader, far, True), self._copy(far_reader, writer, False))
                await asyncio.gather(*copies)
        except (OSError, asyncio.CancelledError):
            pass  # One side left, or the test is over.
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool
    ) -> None:
        try:
            while block := await reader.read(65536):
                if keep:
                    self.sent += block
                writer.write(block)
                await writer.drain()
        finally:
            writer.close()

    def refuse(self) -> None:
        self.open = False
        for task in tuple(self._tasks):
            task.cancel()


@contextlib.asynccontextmanager
async def recording(target: str) -> AsyncIterator[Recorder]:
    recorder = Recorder(target)
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
        recorder.refuse()


@contextlib.asynccontextmanager
async def swallowing() -> AsyncIterator[tuple[int, bytearray]]:
    """A collector that says 200 to everything and keeps it: traces, error reports."""
    kept = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            kept.extend(head + await reader.readexactly(int(length[1]) if length else 0))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], kept
    server.close()


@dataclass
class World:
    """The gateway under test, its secrets by name, and all that could be searched."""

    http: httpx.AsyncClient
    admin_url: str
    process: asyncio.subprocess.Process
    folder: Path
    recorders: dict[str, Recorder]
    secrets: dict[str, str]
    collected: bytearray
    bodies: dict[str, bytes] = field(default_factory=dict)

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Keeps each body but those that hand a secret to its owner."""
        answer = await self.http.request(method, path, **more)
        if answer.status_code >= 400 or path in ("/readyz", "/openapi.json", "/docs"):
            self.bodies[f"{method} {path} {len(self.bodies)}"] = answer.content
        return answer

    def log(self) -> bytes:
        return (self.folder / "gateway.log").read_bytes()


@contextlib.asynccontextmanager
async def world(stack: Stack, folder: Path) -> AsyncIterator[World]:
    """``gateway serve`` in ``folder`` with two workers, allowed to dump core."""
    authority = Authority(folder.parent / "tls")
    pair = authority.issue("gateway")
    password, sentry, jwt = canary("password"), secrets.token_hex(16), canary("jwt-secret")
    with editing(str(folder.parent / "users.json")) as users:
        users["tweety"] = User("tweety", "acme", frozenset({"editor"}), hash_password(password))
    port, admin_port = free_port(), free_port()
    # The stack's own gateway listens on the port for gRPC that is set.
    base = stack.env_for_gateway(port, admin_port) | {"GATEWAY_GRPC_PORT": "0"}
    async with contextlib.AsyncExitStack() as exits:
        recorders = {
            name: await exits.enter_async_context(recording(stack.address(part)))
            for name, part in (
                ("core", "core"), ("opa", "opa"), ("s3", "s3"), ("temporal", "temporal")
            )
        }  # fmt: skip
        collector, collected = await exits.enter_async_context(swallowing())
        local = {name: f"127.0.0.1:{found.port}" for name, found in recorders.items()}
        settings = {
            **base,
            "GATEWAY_SERVER_WORKERS": "2",
            "GATEWAY_LOG_LEVEL": "debug",
            "GATEWAY_LOG_FORMAT": "json",
            "GATEWAY_JWT_SECRET": jwt,
            "GATEWAY_JWT_SECRET_PREVIOUS": canary("jwt-previous"),
            "GATEWAY_KEYS_SECRET": canary("keys-secret"),
            "GATEWAY_KEYS_SECRET_PREVIOUS": canary("keys-previous"),
            "GATEWAY_ADMIN_PASSWORD": canary("admin-password"),
            "GATEWAY_USERS_FILE": str(folder.parent / "users.json"),
            "GATEWAY_SERVICES_CORE": f"http://{local['core']}",
            "GATEWAY_SERVICES_OPA": f"http://{local['opa']}",
            "GATEWAY_S3_ENDPOINT": f"http://{local['s3']}",
            "GATEWAY_S3_PUBLIC_ENDPOINT": base["GATEWAY_S3_ENDPOINT"],
            "GATEWAY_SERVICES_TEMPORAL": local["temporal"],
            "GATEWAY_TLS_CERT_FILE": str(pair.cert),
            "GATEWAY_TLS_KEY_FILE": str(pair.key),
            "GATEWAY_SENTRY_DSN": f"http://{sentry}@127.0.0.1:{collector}/1",
            "GATEWAY_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}",
            "GATEWAY_OTLP_SAMPLE": "1",
        }
        known = {
            name: settings[f"GATEWAY_{name.upper()}"]
            for name, spec in SPECS.items()
            if spec.secret and name != "sentry_dsn" and f"GATEWAY_{name.upper()}" in settings
        }
        known |= {"password": password, "sentry key": sentry, **key_lines(pair.key)}
        process = await start(folder, settings)
        exits.push_async_callback(end, process)
        http = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{port}",
            verify=client(authority),
            trust_env=False,
            timeout=30,
        )
        exits.push_async_callback(http.aclose)
        admin_url = f"http://127.0.0.1:{admin_port}"
        await until(lambda: ready(http), limit_s=90)
        yield World(http, admin_url, process, folder, recorders, known, collected)


def key_lines(key: Path) -> dict[str, str]:
    """A private key's secret, as it would look in a dump of the file."""
    lines = key.read_text().splitlines()[1:-1]
    return {f"TLS key, line {number}": line for number, line in enumerate(lines) if len(line) > 20}


async def start(folder: Path, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    inherited = {name: text for name, text in os.environ.items() if "GATEWAY_" not in name}
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with (folder / "gateway.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve"),
            cwd=folder,
            env={**inherited, **settings},
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
        )


async def end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def ready(http: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError, ssl.SSLError):
        answer = await http.get("/readyz")
        return answer.status_code == 200 and answer.json()["status"] == "ok"
    return False


async def work(there: World) -> None:
    """Everything a credential is used for, well and badly; what is made on the way is a secret."""
    known, ask = there.secrets, there.ask
    login = {"username": "tweety", "password": known["password"]}
    token = (await ask("POST", "/auth/login", json=login)).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    known["token"] = token
    known["token's signature"] = token.rpartition(".")[2]
    wrong = {**login, "password": canary("wrong-password")}
    assert (await ask("POST", "/auth/login", json=wrong)).status_code == 401
    known["wrong password"] = wrong["password"]
    made = await ask(
        "POST", "/api/v1/keys", json={"name": "one", "scopes": ["query:run"]}, headers=bearer
    )
    key = made.json()
    known["API key"] = key["secret"]
    rotated = await ask("POST", f"/api/v1/keys/{key['key_id']}/rotate", headers=bearer)
    known["rotated API key"] = rotated.json()["secret"]
    by_key = {"X-API-Key": rotated.json()["secret"]}
    question = {"query": canary("query"), "stream": False}
    known["query"] = question["query"]
    for headers in (bearer, by_key, {**bearer, **by_key}):
        await ask("POST", "/api/v1/query", json=question, headers=headers)
    await ask("POST", "/api/v1/query", json={**question, "stream": True}, headers=bearer)
    for name in ("bad token", "bad key"):
        known[name] = canary(name.replace(" ", "-"))
    await ask("GET", "/api/v1/auth/me", headers={"Authorization": f"Bearer {known['bad token']}"})
    await ask("GET", "/api/v1/auth/me", headers={"X-API-Key": f"kbg_{known['bad key']}"})
    await ask("GET", f"/healthz?token={known['bad token']}")
    await ask("POST", "/auth/login", content=known["wrong password"].encode())
    typed = {"Content-Type": "application/json"}
    await ask("POST", "/auth/login", content=known["wrong password"].encode(), headers=typed)
    await ask("GET", f"/{known['bad key']}", headers=bearer)
    await upload(there, bearer)


async def upload(there: World, bearer: dict[str, str]) -> None:
    announced = {"filename": "a.txt", "content_type": "text/plain", "size": len(CONTENT)}
    ticket = (await there.ask("POST", "/api/v1/documents", json=announced, headers=bearer)).json()
    form = ticket["upload"]
    there.secrets["upload's signature"] = form["fields"]["x-amz-signature"]
    async with httpx.AsyncClient(trust_env=False) as store:
        sent = await store.post(form["url"], data=form["fields"], files={"file": CONTENT})
    assert sent.is_success, sent.text
    path = f"/api/v1/documents/{ticket['document_id']}"
    assert (await there.ask("POST", f"{path}/complete", headers=bearer)).status_code == 202
    await there.ask("GET", path, headers=bearer)
    await there.ask("DELETE", path, headers=bearer)


async def break_everything(there: World) -> None:
    """Each dependency refuses in turn, so that each cause is logged and answered."""
    bearer = {"Authorization": f"Bearer {there.secrets['token']}"}
    by_key = {"X-API-Key": there.secrets["API key"]}
    for name in ("core", "temporal", "s3", "opa"):
        there.recorders[name].refuse()
        for headers in (bearer, by_key):
            await there.ask("GET", "/api/v1/documents", headers=headers)
            await there.ask(
                "POST", "/api/v1/query", json={"query": there.secrets["query"]}, headers=headers
            )
            await there.ask("GET", "/api/v1/keys", headers=headers)
    await until(lambda: degraded(there), limit_s=60)


async def degraded(there: World) -> bool:
    return bool((await there.ask("GET", "/readyz")).json()["status"] == "degraded")


async def scrape(there: World) -> None:
    async with httpx.AsyncClient(base_url=there.admin_url, trust_env=False) as admin:
        for path in ("/readyz", "/metrics"):
            there.bodies[f"admin {path}"] = (await admin.get(path)).content


async def told_of(there: World, what: bytes) -> bool:
    return what in there.collected


def crash(there: World) -> None:
    """A worker dies of a fault in native code, all processes of the gateway do at the end."""
    os.killpg(there.process.pid, signal.SIGABRT)


# What may be sent to whom. Everything else that is known goes nowhere.
ALLOWED = {
    "core": {"core_token", "query"},
    "opa": set(),
    "temporal": set(),
    "s3": {"s3_access_key", "s3_keys_access_key"},
}


def spellings(secret: str) -> set[bytes]:
    """As it is, and as Basic authentication, JSON and a URL would carry it."""
    text = secret.encode()
    return {text, base64.b64encode(text).rstrip(b"="), text.hex().encode()}


def found_in(place: bytes, known: Mapping[str, str]) -> set[str]:
    return {name for name, text in known.items() if any(s in place for s in spellings(text))}


async def test_no_secret_is_written_or_sent_to_whom_it_is_not_for(
    stack: Stack, tmp_path: Path
) -> None:
    """Logs, metrics, readiness, traces, reports, answers, core dumps, and what components get."""
    folder = tmp_path / "running"
    folder.mkdir()
    async with world(stack, folder) as there:
        await work(there)
        await scrape(there)
        await break_everything(there)
        await scrape(there)
        await until(lambda: told_of(there, b"/v1/traces"))
        crash(there)
        await there.process.wait()
        for name, recorder in there.recorders.items():
            assert len(recorder.sent) > 100, f"{name} was asked nothing"
            assert found_in(bytes(recorder.sent), there.secrets) <= ALLOWED[name], name
        places = {**there.bodies, "log": there.log(), "collector": bytes(there.collected)}
        # Its own key names a sender to the collector; it is for nobody else's eyes.
        told = {name: found_in(place, there.secrets) for name, place in places.items()}
        told["collector"] -= {"sentry key"}
        assert {name: found for name, found in told.items() if found} == {}
        assert len(there.log().splitlines()) > 30
        assert [path.name for path in folder.iterdir()] == ["gateway.log"]
    # The search itself finds what it should: the core is shown its token, and nobody else is.
    assert found_in(bytes(there.recorders["core"].sent), there.secrets) == {"core_token", "query"}
