"""No header of a client's reaches the core or a log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.domain.headers import CORE_REQUEST_HEADERS

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, Answer, exchange, read_head, request
from .stub_core import StubCore

CLAIMED = "mallory-claims-this"
SPOOFED = {
    "X-KB-Subject": CLAIMED,
    "x-kb-tenant": CLAIMED,
    "X-KB-ROLES": f"admin,{CLAIMED}",
    "X-Kb-Actor": CLAIMED,
    "X_KB_Subject": CLAIMED,
    "X-KB-Anything": CLAIMED,
    "Forwarded": f"for={CLAIMED};host={CLAIMED}",
    "X-Forwarded-For": f"1.1.1.1, {CLAIMED}",
    "X-Forwarded-Host": CLAIMED,
    "X-Forwarded-Proto": CLAIMED,
    "X-Forwarded-Prefix": CLAIMED,
    "X-Real-IP": CLAIMED,
    "X-Original-URL": CLAIMED,
    "Via": CLAIMED,
    "TE": "trailers",
    "Trailer": CLAIMED,
    "Keep-Alive": CLAIMED,
    "Proxy-Authorization": CLAIMED,
    "Proxy-Connection": CLAIMED,
    "Upgrade": CLAIMED,
    "Connection": "keep-alive, X-Mine, X-Request-ID, Authorization, X-KB-Subject",
    "X-Mine": CLAIMED,
    "Cookie": CLAIMED,
    "Accept-Language": CLAIMED,
    "User-Agent": CLAIMED,
    "traceparent": CLAIMED,
    "tracestate": CLAIMED,
    "baggage": CLAIMED,
}


async def asked(gateway: Gateway, extra: dict[str, str]) -> dict[str, str]:
    """The head of the core's query that a client's query with these headers leads to."""
    streaming = await gateway.asking(**extra)
    assert streaming.status == 200
    await streaming.rest()
    streaming.writer.close()
    return gateway.core.headers_of_query()


async def test_nothing_a_client_claims_reaches_the_core(gateway: Gateway) -> None:
    """The core gets the verified identity, and no header that is not on the allow-list."""
    received = await asked(gateway, SPOOFED)
    assert set(received) <= CORE_REQUEST_HEADERS
    assert CLAIMED not in str(received)
    assert (received["x-kb-subject"], received["x-kb-tenant"]) == ("alice", "acme")
    assert received["x-kb-roles"] == "editor"
    assert "x-kb-actor" not in received
    assert received["authorization"] == "Bearer core-token"


@pytest.mark.parametrize("name", SPOOFED)
async def test_each_claim_alone_changes_nothing(gateway: Gateway, name: str) -> None:
    """No single header changes what the core gets."""
    ours = {"x-request-id", "traceparent", "host"}
    plain, spoofed = await asked(gateway, {}), await asked(gateway, {name: SPOOFED[name]})
    assert {k: v for k, v in spoofed.items() if k not in ours} == {
        k: v for k, v in plain.items() if k not in ours
    }


async def test_a_name_in_connection_takes_no_header_of_ours_away(gateway: Gateway) -> None:
    """``Connection`` is about the client's connection: it removes no header from our call."""
    received = await asked(gateway, {"Connection": "X-KB-Subject, Authorization, X-Request-ID"})
    assert received["x-kb-subject"] == "alice"
    assert received["authorization"] == "Bearer core-token"
    assert received["x-request-id"]


@pytest.mark.parametrize(
    "given",
    [b"a b", b"a\tb", "é".encode(), b"\xff", b'a;b"', b"<script>", b"a" * 300, b"", b"%0d%0aX: y"],
)
async def test_an_odd_request_id_is_replaced_everywhere(gateway: Gateway, given: bytes) -> None:
    """The answer's head and body and the core's request have one that we made."""
    data = request("GET", "/nothing").replace(
        b"\r\n\r\n", b"\r\nX-Request-ID: " + given + b"\r\n\r\n"
    )
    answer = await exchange(gateway.address, data)
    told = answer.header("x-request-id")
    assert answer.status == 404
    assert told is not None
    assert len(told) == 36
    assert answer.json()["error"]["details"]["request_id"] == told


async def test_no_header_can_be_put_into_an_answer(gateway: Gateway) -> None:
    """Whatever a client sends, the answer's header names are ours.

    What could end a line for somebody is refused; bytes past ASCII are a value like any other.
    """
    hostile = b"x\r\nX-Injected: y"
    reflecting = (b"X-Request-ID", b"Origin", b"Accept-Encoding", b"traceparent", b"Host2")
    for name in reflecting:
        for bytes_between in (b"\r", b"\n", b"\x0b", b"\x0c", b"\x85", b"\xe2\x80\xa8"):
            value = hostile.replace(b"\r\n", bytes_between)
            data = request("GET", "/healthz").replace(
                b"\r\n\r\n", b"\r\n" + name + b": " + value + b"\r\n\r\n"
            )
            answer = await exchange(gateway.address, data)
            assert answer.header("x-injected") is None
            assert answer.status == (200 if bytes_between >= b"\x80" else 400), (
                name,
                bytes_between,
            )


async def _client_ip(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], lines: list[tuple[str, str]]
) -> str:
    capsys.readouterr()
    answer: Answer = await exchange(gateway.address, request("GET", "/healthz", lines))
    assert answer.status == 200
    logged = capsys.readouterr()
    fields = dict(part.split("=", 1) for part in (logged.out + logged.err).split() if "=" in part)
    return fields["ip"]


TOLD = {
    "nobody": ([], "127.0.0.1"),
    "one": (["9.9.9.9"], "9.9.9.9"),
    "the right one": (["1.1.1.1, 9.9.9.9"], "9.9.9.9"),
    "over a proxy": (["1.1.1.1, 9.9.9.9, 127.0.0.3"], "9.9.9.9"),
    "in two lines": (["1.1.1.1", "9.9.9.9"], "9.9.9.9"),
    "nonsense at the right": (["9.9.9.9, nonsense"], "127.0.0.1"),
    "nonsense behind a proxy": (["nonsense, 127.0.0.4"], "127.0.0.4"),
    "only proxies": (["127.0.0.5, 127.0.0.6"], "127.0.0.5"),
    "a mapped one": (["::ffff:9.9.9.9"], "9.9.9.9"),
    "a zone": (["fe80::1%a=b"], "fe80::1"),
    "a long spelling": (["2001:0db8:0:0:0:0:0:1"], "2001:db8::1"),
    "an integer": (["151587081"], "127.0.0.1"),
    "with a port": (["1.1.1.1, 9.9.9.9:80"], "9.9.9.9"),
    "with a port, quoted": (['"[2001:db8::7]:80"'], "2001:db8::7"),
    "a port that is none": (["9.9.9.9:http"], "127.0.0.1"),
}
# Headers of one request, and whose it is.
THE_OTHER_HEADER = {
    "one": ([("Forwarded", "for=9.9.9.9;proto=https")], "9.9.9.9"),
    "with a port": ([("Forwarded", 'proto=https;For="[2001:db8::7]:4711"')], "2001:db8::7"),
    "over a proxy": ([("Forwarded", "for=1.1.1.1, for=9.9.9.9, for=127.0.0.3")], "9.9.9.9"),
    "in two lines": ([("Forwarded", "for=1.1.1.1"), ("Forwarded", "for=9.9.9.9")], "9.9.9.9"),
    "hidden behind a proxy": ([("Forwarded", "for=_mine, for=127.0.0.4")], "127.0.0.4"),
    "beside the first": ([("Forwarded", "for=1.1.1.1"), ("X-Forwarded-For", "9.9.9.9")], "9.9.9.9"),
    "beside nonsense": ([("Forwarded", "for=1.1.1.1"), ("X-Forwarded-For", "x")], "127.0.0.1"),
}


@pytest.mark.parametrize("told", TOLD)
async def test_behind_trusted_proxies_the_address_is_counted_from_the_right(
    core: StubCore, capsys: pytest.CaptureFixture[str], told: str
) -> None:
    """The nearest one that is no proxy of ours; what is no address ends the search."""
    lines, expected = TOLD[told]
    async with running_gateway(core, TRUSTED_PROXIES="127.0.0.0/8") as gateway:
        told_so = [("X-Forwarded-For", text) for text in lines]
        assert await _client_ip(gateway, capsys, told_so) == expected


async def test_the_standards_header_is_read_where_the_usual_one_is_missing(
    core: StubCore, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 7239: the same rule from the right; ``X-Forwarded-For`` wins where both have come."""
    async with running_gateway(core, TRUSTED_PROXIES="127.0.0.0/8") as gateway:
        for name, (lines, expected) in THE_OTHER_HEADER.items():
            assert await _client_ip(gateway, capsys, lines) == expected, name


ONE_ADDRESS_MAY = """package gateway.authz
default allow := false
allow if {
    input.request.ip == "2001:db8::7"
}
reason := "address"
obligations := {}
"""


@pytest.mark.usefixtures("opa_on_path")
async def test_the_policy_is_asked_about_the_clients_address(
    core: StubCore, tmp_path: Path
) -> None:
    """However the proxy in front spells it."""
    (tmp_path / "authz.rego").write_text(ONE_ADDRESS_MAY)
    settings = {"TRUSTED_PROXIES": "127.0.0.0/8", "POLICY_DIR": str(tmp_path)}
    async with running_gateway(core, **settings) as gateway:
        mine = await gateway.bearer()
        for line, status in {
            ("X-Forwarded-For", "[2001:db8::7]:80"): 200,
            ("Forwarded", 'for="[2001:db8::7]:80"'): 200,
            ("X-Forwarded-For", "[2001:db8::8]:80"): 403,
            ("X-Forwarded-For", "2001:db8::7:port"): 403,
        }.items():
            head = request("GET", "/api/v1/auth/me", [*mine.items(), line])
            assert (await exchange(gateway.address, head)).status == status, line


async def test_without_trusted_proxies_nobody_is_believed(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client is the peer of the connection."""
    for texts, _ in TOLD.values():
        told_so = [("X-Forwarded-For", text) for text in texts]
        assert await _client_ip(gateway, capsys, told_so) == "127.0.0.1"
    for lines, _ in THE_OTHER_HEADER.values():
        assert await _client_ip(gateway, capsys, lines) == "127.0.0.1"


async def test_refusals_at_the_wire_have_their_log_line(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the peer's address and nothing of the bytes that were refused."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(f"GET /{CLAIMED} HTTP/1.1\r\nHost: x\r\n{CLAIMED}\r\n\r\n".encode())
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_head(reader))[0] == 400
    writer.close()
    logged = capsys.readouterr()
    line = next(line for line in (logged.out + logged.err).splitlines() if "request_id" in line)
    assert "ip=127.0.0.1" in line
    assert "MALFORMED_REQUEST" in line
    assert CLAIMED not in logged.out + logged.err
