"""The admin listener: readiness with the details that the public answer leaves out."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.domain.ids import is_uuid7
from gateway.edge.observe import admin_listener
from gateway.errors import StorageUnavailable
from gateway.flows.health import Health

from .conftest import running_gateway
from .fakes import MovableClock
from .raw import TIMEOUT_S, assert_error_shape, exchange, read_head, request
from .stub_core import StubCore


async def fine() -> None:
    return None


async def down() -> None:
    raise StorageUnavailable from ConnectionRefusedError("10.0.0.7:7070")


@pytest.fixture
async def health() -> Health:
    found = Health({"core": fine, "storage": down}, MovableClock())
    await found.check_all()
    found.starting = False
    return found


@pytest.fixture
async def address(health: Health) -> AsyncIterator[tuple[str, int]]:
    server = await admin_listener.listen("127.0.0.1", 0, health, lambda: b"a 1\n")
    yield server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()


async def test_readiness_with_latency_reason_and_since(address: tuple[str, int]) -> None:
    """What to mend, since when, and how slow the rest is."""
    answer = await exchange(address, request("GET", "/readyz"))
    assert answer.status == 200
    readiness = answer.json()
    assert (readiness["status"], readiness["draining"]) == ("degraded", False)
    assert readiness["worker_pid"] > 0
    assert readiness["dependencies"] == {
        "core": {
            "state": "ok",
            "since": "2027-01-15T08:00:00.000+00:00",
            "latency_ms": 0.0,
            "reason": None,
        },
        "storage": {
            "state": "down",
            "since": "2027-01-15T08:00:00.000+00:00",
            "latency_ms": 0.0,
            "reason": "ConnectionRefusedError: 10.0.0.7:7070",
        },
    }


async def test_not_ready_is_a_503(address: tuple[str, int], health: Health) -> None:
    """The same verdict as the public side's."""
    health.draining = True
    answer = await exchange(address, request("GET", "/readyz"))
    assert (answer.status, answer.json()["draining"]) == (503, True)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (request("GET", "/"), 404, "NOT_FOUND"),
        (request("GET", "/api/v1/documents"), 404, "NOT_FOUND"),
        (request("POST", "/readyz", {}, b""), 405, "METHOD_NOT_ALLOWED"),
        (b"\r\n\r\n", 404, "NOT_FOUND"),
        (b"\xff\xfe\x00\r\n\r\n", 404, "NOT_FOUND"),
    ],
)
async def test_anything_else_is_refused(
    address: tuple[str, int], data: bytes, status: int, code: str
) -> None:
    """It knows two paths; all else gets the one error shape, nonsense too."""
    answer = await exchange(address, data)
    assert (answer.status, answer.code) == (status, code)
    assert_error_shape(answer)
    assert is_uuid7(answer.header("x-request-id") or "")
    assert answer.header("allow") == ("GET, HEAD" if status == 405 else None)


@pytest.mark.parametrize("target", ["/readyz", "/metrics", "/nothing"])
async def test_head_gets_the_head_of_get_and_no_body(address: tuple[str, int], target: str) -> None:
    """Monitors ask so; the length is that of the body which GET gets, on refusals too."""
    got = await exchange(address, request("GET", target))
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request("HEAD", target))
    async with asyncio.timeout(TIMEOUT_S):
        status, headers = await read_head(reader)
        assert await reader.read() == b""
    writer.close()
    ids = {"x-request-id"}
    told = [[pair for pair in one if pair[0] not in ids] for one in (headers, got.headers)]
    assert (status, told[0]) == (got.status, told[1])


async def test_every_answer_has_an_id_of_its_own(address: tuple[str, int]) -> None:
    """As on the public side."""
    targets = ("/readyz", "/metrics", "/readyz")
    answers = [await exchange(address, request("GET", target)) for target in targets]
    ids = {answer.header("x-request-id") or "" for answer in answers}
    assert len(ids) == 3
    assert all(map(is_uuid7, ids))


async def test_a_head_too_large_is_hung_up_on(address: tuple[str, int]) -> None:
    """No buffer grows without limit for a head that never ends."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /readyz HTTP/1.1\r\n" + b"X: y\r\n" * 5000)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_a_client_that_hangs_up_does_no_harm(address: tuple[str, int]) -> None:
    """A port scanner causes no fault."""
    for data in (b"", b"GET /rea"):
        _, writer = await asyncio.open_connection(*address)
        writer.write(data)
        writer.close()
        await writer.wait_closed()
    assert (await exchange(address, request("GET", "/readyz"))).status == 200


async def test_workers_share_the_address(health: Health) -> None:
    """Each worker listens there and answers for itself."""
    first = await admin_listener.listen("127.0.0.1", 0, health, bytes)
    host, port = first.sockets[0].getsockname()
    second = await admin_listener.listen(host, port, health, bytes)
    first.close()
    assert (await exchange((host, port), request("GET", "/readyz"))).status == 200
    second.close()


async def test_the_gateway_listens_at_the_configured_address(core: StubCore) -> None:
    """And the public side does not know these details."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with running_gateway(core, ADMIN_LISTEN_PORT=str(port)) as gateway:
        answer = await exchange(("127.0.0.1", port), request("GET", "/readyz"))
        assert set(answer.json()["dependencies"]["core"]) == {
            "state",
            "since",
            "latency_ms",
            "reason",
        }
        public = await exchange(gateway.address, request("GET", "/readyz"))
        assert json.loads(public.body)["dependencies"]["core"] == "ok"
