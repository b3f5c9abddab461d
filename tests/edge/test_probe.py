"""``gateway probe`` and what it asks: timed events, through good proxies and broken ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.probe import measuring
from gateway.commands.probe.faults import faults
from gateway.commands.probe.measuring import Measured, Prober, Refused
from gateway.commands.probe.wire import Place, Unreachable
from gateway.domain.identity import User

from .conftest import Gateway, running_gateway
from .fakes import PASSWORD
from .keeping_core import settled
from .proxies import BROKEN, proxies_before
from .raw import TIMEOUT_S, exchange, request
from .stub_core import StubCore
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

# What nginx is told to wait for is 5 s: a silence has to be longer, and only there.
SILENCE_S = {"idle_cut": 6.5}


async def probed(gateway: Gateway, name: str, port: int, silence_s: float = 1.0) -> Measured:
    """By a person of its own, as each has one probe at a time."""
    gateway.users.users[name] = User(name, "acme", frozenset({"reader"}), PASSWORD)
    place = Place("127.0.0.1", port, False, "")
    prober = Prober(place, await gateway.bearer(name), silence_s=silence_s)
    return await prober.measure()


async def test_each_fault_of_a_proxy_is_named_and_good_ones_have_none(
    gateway: Gateway, tmp_path: Path
) -> None:
    """Six broken ones, and nginx set right, HAProxy and Caddy: all at once."""
    async with proxies_before(gateway.address, tmp_path) as proxies:
        ports = {**proxies.broken, **proxies.good}
        names = {name: name.replace("_", "-") for name in ports}
        measured = await asyncio.gather(
            *(
                probed(gateway, names[name], port, SILENCE_S.get(name, 1.0))
                for name, port in ports.items()
            )
        )
    found = {
        name: [fault.code for fault in faults(one)]
        for name, one in zip(ports, measured, strict=True)
    }
    expected = {name: [name] if name in BROKEN else [] for name in ports}
    assert found == expected
    for one in measured:
        assert one.skipped == {}
        assert one.ended == "done"


async def test_nothing_stands_between_a_client_and_the_gateway_itself(gateway: Gateway) -> None:
    """All is seen that there is to see."""
    measured = await probed(gateway, "ann", gateway.address[1])
    assert faults(measured) == []
    assert [tick.number for tick in measured.ticks] == list(range(20))
    assert measured.left_after_s is not None
    assert measured.seen["http"] == measured.version == "1.1"
    assert "idempotency-key" in measured.seen["headers"]
    await settled(lambda: not gateway.state.held)


async def test_the_command_prints_a_table_or_json(gateway: Gateway) -> None:
    """And ends with 0 where nothing is in the way; the token comes by standard input."""
    url = f"http://127.0.0.1:{gateway.address[1]}"
    token = (await gateway.token()).encode()
    for options in ((), ("--json",)):
        command = [sys.executable, "-m", "gateway", "probe", url, "--silence", "0", *options]
        child = await asyncio.create_subprocess_exec(
            *command, "--token-file", "-", stdin=-1, stdout=-1, stderr=-1
        )
        async with asyncio.timeout(TIMEOUT_S):
            out, problems = await child.communicate(token)
        assert (child.returncode, problems) == (0, b"")
    told = json.loads(out)
    assert (told["url"], told["faults"]) == (url, [])
    assert told["measured"]["skipped"] == {"silence": "not asked for"}


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["people", "programs"])
async def test_a_refusal_is_told_in_the_gateways_words(
    options: list[str], gateway: Gateway
) -> None:
    """Nothing is measured by somebody who may not; a program is told so in JSON."""
    url = f"http://127.0.0.1:{gateway.address[1]}"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "probe", url, "--token-file", "-", *options),
        stdin=-1,
        stdout=-1,
        stderr=-1,
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, problems = await child.communicate(b"nonsense")
    assert child.returncode == 1
    assert b"401 UNAUTHENTICATED" in problems
    if options:
        told = json.loads(out)
        assert (told["url"], told["faults"]) == (url, [])
        assert told["error"].startswith("401 UNAUTHENTICATED")
    else:
        assert out == b""


# --- what is no gateway ---------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nServer: nginx\r\n"
EVENTS = OK + b"Content-Type: text/event-stream\r\n"
STRANGERS: dict[str, tuple[bytes, str]] = {
    "a page": (OK + b"Content-Type: text/html\r\n\r\n<html></html>", "200 by nginx"),
    "a large page": (OK + b"Content-Type: text/html\r\n\r\n" + b"a" * (2 << 20), "200 by nginx"),
    "another stream": (EVENTS + b"\r\nevent: probe\ndata: hello\n\n", "200 by nginx"),
    "odd events": (EVENTS + b'\r\nevent: tick\ndata: {"n":1,"sent_ms":null}\n\n', "200 by nginx"),
    "an odd status": (b"HTTP/1.1 \xb2 OK\r\n\r\n", "not an HTTP answer"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not an HTTP answer"),
    "no end of a head": (OK + b"X-A: b\r\n" * 20_000, "does not end"),
    "nothing": (b"", "without an answer"),
}


@contextlib.asynccontextmanager
async def stranger(answer: bytes, *, stays: bool = False, met: Any = None) -> AsyncIterator[Prober]:
    """Says this to everybody, and then leaves or says nothing more; somebody who probes it."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if met is not None:
                met()
            writer.write(answer)
            await writer.drain()
            if stays:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    place = Place("127.0.0.1", server.sockets[0].getsockname()[1], False, "")
    async with server:
        yield Prober(place, {"Authorization": "Bearer x"}, silence_s=0.0)


@pytest.mark.parametrize("name", STRANGERS)
async def test_what_is_no_gateway_is_said_to_be_none(name: str) -> None:
    """No fault of a stream is made of it."""
    answer, words = STRANGERS[name]
    async with stranger(answer) as prober:
        with pytest.raises((Refused, Unreachable), match=words):
            await prober.measure()


async def test_a_chunk_without_a_size_breaks_a_stream_off() -> None:
    """What came before it was a stream."""
    async with stranger(EVENTS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nevent") as prober:
        seen = await prober.measure()
    assert faults(seen)[0].code == "broken_off"
    assert "no size" in faults(seen)[0].what


async def test_who_falls_silent_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of a stream, and of a refusal. The clock is turned back once it is asked."""

    def shorter() -> None:
        monkeypatch.setattr(measuring, "TIMEOUT_S", 0.05)

    async with stranger(EVENTS + b"\r\n: hello\n\n", stays=True, met=shorter) as prober:
        seen = await prober.measure()
    assert "still going on" in faults(seen)[0].what
    monkeypatch.undo()
    refusal = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 99\r\n\r\nshort"
    async with stranger(refusal, stays=True, met=shorter) as prober:
        with pytest.raises(Refused, match="502 by something"):
            await prober.measure()


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://[::1]:8080/kb/", "[::1]:8080", "/kb"),
        ("https://[::1]/", "[::1]", ""),
        ("http://h/a b/ü", "h", "/a%20b/%C3%BC"),
        ("http://bücher.example", "xn--bcher-kva.example", ""),
        ("kb.example.com:443", "kb.example.com", ""),
    ],
)
def test_addresses_are_written_as_a_request_needs_them(url: str, authority: str, path: str) -> None:
    """Whatever letters they have."""
    place = Place.of(url)
    assert (place.authority, place.path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    [
        *("http://u:p@h", "http://:p@h", "http://@h", "http://h:99999", "http://[::1", "ftp://h"),
        *("http://h/?q", "http://h/#f", "http://", f"http://{'a' * 70}.example"),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=r"."):
        Place.of(url)


# --- the route ------------------------------------------------------------------------------------

PROBE = "/api/v1/probe?events=3&interval_ms=10"


def events(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in body.decode().split("\n\n") if "event: " in block]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in blocks
    ]


async def test_events_say_when_they_were_sent(gateway: Gateway) -> None:
    """Each no sooner than it was to be; the first tells how the request came."""
    stream = await gateway.client.get(PROBE, headers=await gateway.bearer())
    found = events(stream.content)
    assert [name for name, _ in found] == ["probe", "tick", "tick", "done"]
    first, second, third = (told for _, told in found[:3])
    assert first["sent_ms"] <= second["sent_ms"] <= third["sent_ms"]
    assert (second["sent_ms"] >= 9, third["sent_ms"] >= 18) == (True, True)
    assert (first["http"], first["tls"], first["ip"]) == ("1.1", False, "127.0.0.1")
    assert "authorization" in first["headers"]
    assert stream.headers["cache-control"] == "no-store, no-transform"
    assert not gateway.core.bodies or not any(gateway.core.bodies)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("events=0", "?events"),
        ("events=101", "?events"),
        ("interval_ms=5", "?interval_ms"),
        ("silence_ms=15001", "?silence_ms"),
        ("pause=1", "?pause"),
    ],
)
async def test_what_is_out_of_bounds_is_refused(gateway: Gateway, query: str, field: str) -> None:
    answer = await exchange(
        gateway.address, request("GET", f"/api/v1/probe?{query}", await gateway.bearer())
    )
    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
    assert list(answer.json()["error"]["details"]["fields"]) == [field]


async def test_each_person_has_one_at_a_time_until_he_has_left(
    gateway: Gateway, lines: Lines
) -> None:
    """So that a second one shows whether the gateway has seen him leave the first."""
    alice, bob = await gateway.bearer(), await gateway.bearer("bob")
    long = "/api/v1/probe?events=100&interval_ms=1000"
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("GET", long, alice))
    async with asyncio.timeout(TIMEOUT_S):
        await reader.readuntil(b"event: probe")
    refused = await exchange(gateway.address, request("GET", PROBE, alice))
    assert (refused.status, refused.code) == (429, "RATE_LIMITED")
    assert (await gateway.client.get(PROBE, headers=bob)).status_code == 200
    writer.transport.abort()
    await settled(lambda: not gateway.state.held)
    assert (await gateway.client.get(PROBE, headers=alice)).status_code == 200
    ended = [line.get("stream_end") for line in lines.requests() if line["status"] == 200]
    assert "client_left" in ended


async def test_a_stop_and_a_revocation_end_it_as_any_stream(core: StubCore) -> None:
    """With the same last event."""
    async with running_gateway(core) as gateway:
        headers = await gateway.bearer()
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(request("GET", "/api/v1/probe?events=100&interval_ms=1000", headers))
        async with asyncio.timeout(TIMEOUT_S):
            await reader.readuntil(b"event: probe")
            ended = await gateway.client.post("/api/v1/auth/logout", headers=headers)
            assert ended.status_code == 204
            assert b"CREDENTIAL_REVOKED" in await reader.readuntil(b"0\r\n\r\n")
        writer.close()
