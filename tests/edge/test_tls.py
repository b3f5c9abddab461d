"""HTTPS served directly, with real certificates: who is let in, and how streams behave on it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.domain.sse import CONNECTED
from tests.certificates import Authority, Pair, client, expired

from . import sockets
from .conftest import Gateway, running_gateway
from .keeping_core import After, Visit, keeping_core, settled
from .raw import TIMEOUT_S, assert_error_shape, exchange, read_answer, request, stops
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk


def reload_certificates(gateway: Gateway) -> None:
    """What a worker does once a second."""
    assert gateway.application.tls is not None
    gateway.application.tls.reload_if_changed()


BOTH_LOOPS = True
HEALTH = request("GET", "/healthz")
EVENT = b"event: token\ndata: %06d" + b"x" * 4000 + b"\n\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("gateway")


def https(pair: Pair, **more: str) -> dict[str, str]:
    return {"TLS_CERT_FILE": str(pair.cert), "TLS_KEY_FILE": str(pair.key), **more}


@pytest.fixture
async def gateway(core: StubCore, authority: Authority, pair: Pair) -> AsyncIterator[Gateway]:
    async with running_gateway(core, trust=client(authority), **https(pair)) as running:
        yield running


@pytest.fixture(params=["written below", "sent"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways a stream can be relayed: below Sanic's ``send``, and through it."""
    monkeypatch.setattr("gateway.edge.wire.client_stream.STALL_LOOK_S", 0.05)
    if request.param == "sent":
        monkeypatch.setattr("gateway.edge.http.event_streams.can_write_below", lambda _: False)
    return str(request.param)


# --- what is spoken -----------------------------------------------------------------------------


async def test_requests_and_refusals_are_answered_over_tls(gateway: Gateway) -> None:
    """Keep-alive included; a malformed request gets its 400 before the connection ends."""
    reader, writer = await asyncio.open_connection(*gateway.address, ssl=gateway.trust)
    writer.write(HEALTH + HEALTH + b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
    async with asyncio.timeout(TIMEOUT_S):
        answers = [await read_answer(reader) for _ in range(3)]
        assert await reader.read() == b""
    assert [answer.status for answer in answers] == [200, 200, 400]
    assert_error_shape(answers[2])
    writer.close()


async def test_only_http_1_1_is_agreed_on(gateway: Gateway) -> None:
    """A client that prefers HTTP/2 is answered with HTTP/1.1 in ALPN."""
    assert gateway.trust is not None
    gateway.trust.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(*gateway.address, ssl=gateway.trust)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()


# ECDHE-ECDSA with AES-GCM; with AES-CBC and SHA-1; RSA key exchange with AES-GCM.
GCM, CBC, NO_FORWARD_SECRECY = b"\xc0\x2b", b"\xc0\x09", b"\x00\x9c"


@pytest.mark.parametrize(
    ("version", "cipher", "served"),
    [
        (b"\x03\x03", GCM, True),
        (b"\x03\x02", CBC, False),
        (b"\x03\x01", CBC, False),
        (b"\x03\x03", CBC, False),
        (b"\x03\x03", NO_FORWARD_SECRECY, False),
    ],
    ids=["TLS 1.2", "TLS 1.1", "TLS 1.0", "CBC", "no forward secrecy"],
)
async def test_old_versions_and_old_ciphers_are_refused(
    gateway: Gateway, version: bytes, cipher: bytes, served: bool
) -> None:
    """By hand, as no library of today sends such a hello (RFC 5246, 7.4.1.2)."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(hello(version, cipher))
    async with asyncio.timeout(TIMEOUT_S):
        answer = await reader.read(1)
    writer.close()
    assert (answer == HANDSHAKE) is served


HANDSHAKE = b"\x16"


def hello(version: bytes, cipher: bytes) -> bytes:
    """A ClientHello that knows P-256 and ECDSA with SHA-256 and nothing else."""
    groups = b"\0\x0a" + sized(sized(b"\0\x17", 2), 2)
    signatures = b"\0\x0d" + sized(sized(b"\x04\x03", 2), 2)
    body = version + bytes(32) + b"\0" + sized(cipher, 2) + b"\x01\0"
    body += sized(groups + signatures, 2)
    return HANDSHAKE + b"\x03\x01" + sized(b"\x01" + sized(body, 3), 2)


def sized(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


async def test_plain_http_on_the_tls_port_gets_nothing(gateway: Gateway) -> None:
    """No answer in the clear, and the next client is served."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(HEALTH)
    async with asyncio.timeout(TIMEOUT_S):
        assert b"HTTP" not in await reader.read()
    writer.close()
    assert (await exchange(gateway.address, HEALTH, trust=gateway.trust)).status == 200


async def test_a_handshake_that_never_comes_is_not_waited_for(
    core: StubCore, authority: Authority, pair: Pair
) -> None:
    """It has as long as a request's head, because no other deadline runs yet."""
    trust = client(authority)
    async with running_gateway(core, trust=trust, **https(pair, HEAD_TIMEOUT="2s")) as gateway:
        reader, writer = await asyncio.open_connection(*gateway.address)
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        assert (await exchange(gateway.address, HEALTH, trust=trust)).status == 200


async def test_a_connection_beyond_the_caps_can_read_why(
    core: StubCore, authority: Authority, pair: Pair
) -> None:
    """The 503 goes out under TLS as well."""
    trust = client(authority)
    async with running_gateway(core, trust=trust, **https(pair, CONNECTIONS_LIMIT="1")) as gateway:
        _, kept = await asyncio.open_connection(*gateway.address, ssl=trust)
        reader, writer = await asyncio.open_connection(*gateway.address, ssl=trust)
        async with asyncio.timeout(TIMEOUT_S):
            answer = await read_answer(reader)
        assert (answer.status, answer.code) == (503, "OVERLOADED")
        writer.close()
        kept.close()


# --- streams ------------------------------------------------------------------------------------


async def test_a_stream_comes_whole_and_the_connection_serves_on(
    gateway: Gateway, way: str
) -> None:
    """Byte for byte what the core sent, and another request behind it on the same connection."""
    events = [EVENT % number for number in range(50)]
    gateway.core.sends(STREAM_HEAD, chunk(META), *map(chunk, events), chunk(DONE), END)
    streaming = await gateway.asking()
    assert await streaming.rest() == CONNECTED + META + b"".join(events) + DONE
    streaming.writer.write(HEALTH)
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_answer(streaming.reader)).status == 200
    streaming.writer.close()


async def test_a_client_that_stops_reading_stops_the_core_and_loses_nothing(
    authority: Authority, pair: Pair, way: str
) -> None:
    """What the transport holds encrypted counts too: the core stops, our memory does not grow."""
    events, sent = 4000, []

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        for number in range(events):
            await visit.send(chunk(EVENT % number), 1 << 20)
            sent.append(number)
        await visit.send(chunk(DONE) + END, 1 << 20)
        return "keep"

    async with (
        keeping_core() as core,
        running_gateway(core, trust=client(authority), **https(pair)) as gateway,
    ):
        core.play = play
        streaming = await gateway.asking()
        streaming.writer.transport.pause_reading()
        assert await stops(sent) < events
        (connection,) = [one for one in gateway.server.connections if one.http]
        assert connection.transport.get_write_buffer_size() < 512 * 1024
        streaming.writer.transport.resume_reading()
        body = await streaming.rest()
        streaming.writer.close()
    wanted = [CONNECTED, META, *(EVENT % number for number in range(events)), DONE]
    assert body == b"".join(wanted)


@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_leaves_is_noticed(
    authority: Authority, pair: Pair, politely: bool
) -> None:
    """By ``close_notify`` or by a broken connection: the core's stream ends at once."""

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        await visit.until_left()
        return "close"

    async with (
        keeping_core() as core,
        running_gateway(core, trust=client(authority), **https(pair)) as gateway,
    ):
        core.play = play
        streaming = await gateway.asking()
        await streaming.until(META)
        streaming.writer.close() if politely else streaming.writer.transport.abort()
        await (await core.visit(0)).until_left()
        await settled(lambda: core.open == 0)


async def test_a_core_that_breaks_off_ends_the_stream_with_an_error(gateway: Gateway) -> None:
    """The last event is whole and the body ends as HTTP says it should."""
    gateway.core.sends(STREAM_HEAD, chunk(META), chunk(TOKEN))
    streaming = await gateway.asking()
    assert b'"code":"CORE_TRUNCATED"' in await streaming.rest()
    streaming.writer.close()


# --- whose certificate is believed --------------------------------------------------------------


async def test_clients_refuse_a_wrong_certificate_of_ours(
    core: StubCore, authority: Authority, tmp_path: Path
) -> None:
    """Of another authority, for another host, expired: what ``check`` can't see, clients do."""
    other = Authority(tmp_path / "other", "other")
    shown = {
        "unable to get local issuer": other.issue("gateway"),
        "IP address mismatch": authority.issue("elsewhere", "gateway.example"),
        "certificate has expired": expired(authority),
    }
    for reason, pair in shown.items():
        async with running_gateway(core, trust=client(authority), **https(pair)) as gateway:
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                await exchange(gateway.address, HEALTH, trust=gateway.trust)


async def refused(gateway: Gateway, trust: ssl.SSLContext) -> bool:
    """Under TLS 1.3 a client gets its refusal only when it reads."""
    try:
        await exchange(gateway.address, HEALTH, trust=trust)
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return True
    return False


@pytest.mark.parametrize("asked", ["required", "optional"])
async def test_clients_show_a_certificate_of_the_authority(
    core: StubCore, authority: Authority, pair: Pair, tmp_path: Path, asked: str
) -> None:
    """The right one is served, a wrong one never; none at all only where it is optional."""
    ours = Authority(tmp_path / "clients", "clients")
    other = Authority(tmp_path / "others", "others")
    settings = https(pair, TLS_CLIENT_CA_FILE=str(ours.ca), TLS_CLIENT_CERTIFICATES=asked)
    right = client(authority, ours.issue("alice"))
    async with running_gateway(core, trust=right, **settings) as gateway:
        assert not await refused(gateway, right)
        assert await refused(gateway, client(authority, other.issue("alice")))
        assert await refused(gateway, client(authority, expired(ours)))
        assert await refused(gateway, client(authority)) is (asked == "required")
        streaming = await gateway.asking()
        assert (await streaming.rest()).endswith(DONE)
        streaming.writer.close()


# --- files that change --------------------------------------------------------------------------


async def serial(gateway: Gateway) -> str:
    """Which certificate a new connection is shown."""
    _, writer = await asyncio.open_connection(*gateway.address, ssl=gateway.trust)
    shown = str(writer.get_extra_info("peercert")["serialNumber"])
    writer.close()
    return shown


async def test_a_changed_certificate_serves_new_connections_and_leaves_old_ones(
    gateway: Gateway, authority: Authority
) -> None:
    """A running stream goes on under the certificate it began with."""
    before = await serial(gateway)
    go_on = gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    await streaming.until(META)
    authority.issue("gateway")
    reload_certificates(gateway)
    assert await serial(gateway) != before
    go_on.set()
    assert b'"code":"CORE_TRUNCATED"' in await streaming.rest()
    streaming.writer.close()


async def test_a_bad_pair_keeps_the_old_one_and_is_logged_once(
    gateway: Gateway, authority: Authority, pair: Pair
) -> None:
    """Half a rotation, nonsense, nothing at all: the listener serves on."""
    before = await serial(gateway)
    key = pair.key.read_bytes()
    for content in (authority.issue("other").key.read_bytes(), b"nonsense", None):
        pair.key.unlink()
        if content is not None:
            pair.key.write_bytes(content)
        with capture_logs() as logged:
            reload_certificates(gateway)
            reload_certificates(gateway)
        assert [line["event"] for line in logged] == ["certificates not taken over"]
        assert str(pair.key) in logged[0]["reason"]
        assert await serial(gateway) == before
    pair.key.write_bytes(key)
    with capture_logs() as logged:
        reload_certificates(gateway)
    assert [line["event"] for line in logged] == ["certificates reloaded"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_authority_that_is_taken_away_is_believed_no_more(
    core: StubCore, authority: Authority, pair: Pair, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Nor by a session that is resumed, which would bring no certificate again."""
    ours = Authority(tmp_path / "clients", "clients")
    trust = client(authority, ours.issue("alice"))
    trust.maximum_version = version
    settings = https(pair, TLS_CLIENT_CA_FILE=str(ours.ca))
    right = client(authority, ours.issue("root"))
    async with running_gateway(core, trust=right, **settings) as gateway:
        session = await asyncio.to_thread(_session, gateway.address, trust)
        Authority(tmp_path / "clients", "clients")
        reload_certificates(gateway)
        assert await refused(gateway, right)
        assert not await asyncio.to_thread(_resumed, gateway.address, trust, session)


def _session(address: tuple[str, int], trust: ssl.SSLContext) -> ssl.SSLSession | None:
    """What a client could resume with, if it was served at all."""
    with contextlib.suppress(OSError), socket_to(address, trust) as connection:
        connection.sendall(HEALTH)
        connection.recv(1000)
        return connection.session
    return None


def _resumed(
    address: tuple[str, int], trust: ssl.SSLContext, session: ssl.SSLSession | None
) -> bool:
    try:
        with socket_to(address, trust, session) as connection:
            connection.sendall(HEALTH)
            return connection.recv(1000) != b""
    except OSError:
        return False


def socket_to(
    address: tuple[str, int], trust: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    plain = socket.create_connection(address, timeout=TIMEOUT_S)
    return trust.wrap_socket(plain, server_hostname=address[0], session=session)


async def test_nothing_is_dropped_while_certificates_change_under_load(
    gateway: Gateway, authority: Authority
) -> None:
    """Streams and short requests, on old and new connections, through 20 rotations."""
    dice = random.Random(11)
    over = asyncio.Event()
    served, seen = 0, set()

    async def ask() -> None:
        nonlocal served
        while not over.is_set():
            answer = await exchange(gateway.address, HEALTH, trust=gateway.trust)
            assert answer.status == 200
            served += 1
            await asyncio.sleep(dice.random() * 0.01)

    async def stream() -> None:
        streaming = await gateway.asking()
        await streaming.until(META)
        await over.wait()
        assert b'"code":"CORE_TRUNCATED"' in await streaming.rest()
        streaming.writer.close()

    go_on = gateway.core.holds(STREAM_HEAD, chunk(META))
    async with asyncio.TaskGroup() as clients:
        for _ in range(8):
            clients.create_task(ask())
            clients.create_task(stream())
        for _ in range(20):
            authority.issue("gateway")
            reload_certificates(gateway)
            seen.add(await serial(gateway))
        over.set()
        go_on.set()
    assert len(seen) == 20
    assert served


async def test_a_socket_works_under_tls_and_ends_as_it_should(
    core: StubCore, authority: Authority, pair: Pair
) -> None:
    """Frames are no chunks, and TLS has no half-close: a close arrives all the same."""
    async with running_gateway(core, trust=client(authority), **https(pair)) as gateway:
        async with sockets.signed_in(gateway) as one:
            await one.ask()
            assert (await one.answer())[-1]["event"] == "done"
            await one.of.send(b"binary")
            assert (await one.closed())[0] == 1003
        core.holds(STREAM_HEAD + chunk(META))
        async with sockets.signed_in(gateway) as one:
            await one.ask()
            await one.next()
        async with asyncio.timeout(TIMEOUT_S):
            await core.closed.wait()
