"""Limits on the served gateway: the order of the stages, refusals, the fields on the answers."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.actions import STREAMED
from gateway.edge.http.routes import endpoints

from .conftest import Gateway, running_gateway
from .sockets import signed_in
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk

LIMITS = (
    "query:run 6/m burst 2 per subject, 1 open per subject; auth:me 4/m burst 2 per subject;"
    " *:* 120/m burst 20 per tenant; * 600/m burst 5 per address;"
    " login 60/m burst 2 per account"
)


def counted(gateway: Gateway, series: str) -> float:
    lines = gateway.application.worker_metrics.page().decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{series} "))


async def ask_me(gateway: Gateway, name: str, times: int = 1) -> list[int]:
    headers = await gateway.bearer(name)
    return [
        (await gateway.client.get("/api/v1/auth/me", headers=headers)).status_code
        for _ in range(times)
    ]


async def status_of_asking(
    gateway: Gateway, body: bytes = b'{"query": "hi"}', credential: dict[str, str] | None = None
) -> int:
    stream = await gateway.asking(body, credential)
    stream.writer.close()
    return stream.status


async def test_what_is_over_a_limit_is_told_which_and_when(core: StubCore) -> None:
    async with running_gateway(core, LIMITS="auth:me 4/m burst 2 per subject") as gateway:
        headers = await gateway.bearer()
        for left in (1, 0):
            good = await gateway.client.get("/api/v1/auth/me", headers=headers)
            assert good.status_code == 200
            assert good.headers["RateLimit-Policy"] == '"auth:me/subject/m";q=4;w=60;kbg-burst=2'
            assert good.headers["RateLimit"] == f'"auth:me/subject/m";r={left};t=15'
        gateway.clock.now += 0.5

        refused = await gateway.client.get("/api/v1/auth/me", headers=headers)

        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "15"
        assert refused.headers["RateLimit"] == '"auth:me/subject/m";r=0;t=15'
        error = refused.json()["error"]
        assert error["code"] == "RATE_LIMITED"
        assert error["details"] == {
            "limit": "auth:me/subject/m",
            "allowed": "4/m burst 2 per subject",
            "left": 0,
            "retry_after_s": 15,
            "request_id": refused.headers["X-Request-ID"],
        }
        gateway.clock.now += 14.5
        assert await ask_me(gateway, "alice") == [200]
        assert await ask_me(gateway, "bob", times=3) == [200, 200, 429]
        assert counted(gateway, 'gateway_limited_total{per="subject",limit="rate"}') == 2.0


async def test_nothing_is_charged_unless_all_limits_pass(core: StubCore) -> None:
    """A tenant's requests are not used up by one subject who is over his own limit."""
    limits = "auth:me 60/m burst 1 per subject; *:* 60/m burst 3 per tenant"
    async with running_gateway(core, LIMITS=limits) as gateway:
        assert await ask_me(gateway, "alice", times=5) == [200, 429, 429, 429, 429]
        assert await ask_me(gateway, "bob") == [200]
        assert await ask_me(gateway, "root") == [200]

        assert [len(keys) for keys, _ in gateway.state.calls] == [2] * 7


async def test_a_flood_of_bad_credentials_is_refused_by_its_address(core: StubCore) -> None:
    """Before anybody is identified: looking a credential up is what a flood would cost."""
    async with running_gateway(core, LIMITS="* 60/m burst 3 per address") as gateway:
        headers = {"Authorization": "Bearer made.up.token"}
        statuses = [
            (await gateway.client.get("/api/v1/auth/me", headers=headers)).status_code
            for _ in range(5)
        ]

        assert statuses == [401, 401, 401, 429, 429]


async def test_what_is_not_counted(core: StubCore) -> None:
    """Health checks, documentation, preflights and unknown paths have no limit and no field."""
    limits = "* 60/m burst 1 per address"
    async with running_gateway(core, LIMITS=limits, CORS_ORIGINS="https://a.example") as gateway:
        preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
        answers = [
            await gateway.client.get("/healthz"),
            await gateway.client.get("/readyz"),
            await gateway.client.get("/openapi.json"),
            await gateway.client.get("/nothing/here"),
            await gateway.client.put("/api/v1/auth/me"),
            await gateway.client.options("/api/v1/auth/me", headers=preflight),
        ]

        assert 429 not in [answer.status_code for answer in answers]
        assert not [answer for answer in answers if "RateLimit" in answer.headers]
        assert gateway.state.calls == []


async def test_a_head_counts_as_its_get(core: StubCore) -> None:
    async with running_gateway(core, LIMITS="auth:me 60/m burst 2 per subject") as gateway:
        headers = await gateway.bearer()
        head = await gateway.client.head("/api/v1/auth/me", headers=headers)
        got = await gateway.client.get("/api/v1/auth/me", headers=headers)

        assert head.headers["RateLimit"] == '"auth:me/subject/m";r=1;t=1'
        assert got.headers["RateLimit"] == '"auth:me/subject/m";r=0;t=1'


async def test_logins_are_counted_by_the_name_that_is_typed(core: StubCore) -> None:
    """Whether the account exists, and whether the password is right, changes nothing."""
    async with running_gateway(core, LIMITS="login 60/m burst 2 per account") as gateway:
        for name, password in (("alice", "wrong"), ("nobody", "wrong")):
            body = {"username": name, "password": password}
            answers = [await gateway.client.post("/auth/login", json=body) for _ in range(3)]

            assert [answer.status_code for answer in answers] == [401, 401, 429]
            assert answers[0].headers["RateLimit"] == '"login/account/m";r=1;t=1'
        keys = [key for charges, _ in gateway.state.calls for key in charges]
        assert not [key for key in keys if "nobody" in key or "alice" in key]
        both = "/api/v1/auth/login"
        assert (await gateway.client.post(both, json=body)).status_code == 429


async def test_a_stream_carries_the_fields_and_holds_its_lease(core: StubCore) -> None:
    """The open streams are asked for in the same call as the rates; its end gives one back."""
    go_on = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(META))
        await go_on.wait()
        writer.write(chunk(DONE) + END)

    core.script = answer
    limits = "query:run 60/m burst 9 per subject, 1 open per subject"
    async with running_gateway(core, LIMITS=limits) as gateway:
        stream = await gateway.asking()

        assert stream.status == 200
        assert stream.headers["ratelimit"] == (
            '"query:run/subject/m";r=8;t=1, "query:run/subject/open";r=0'
        )
        assert gateway.state.calls == [
            (("query:run/subject/m/acme/alice",), ("query:run/subject/open/acme/alice",))
        ]
        assert await status_of_asking(gateway) == 429
        go_on.set()
        await stream.rest()
        stream.writer.close()
        assert await status_of_asking(gateway) == 200


async def test_a_question_that_is_refused_later_gives_its_lease_back(core: StubCore) -> None:
    async with running_gateway(core, LIMITS="query:run 1 open per subject") as gateway:
        for _ in range(3):
            assert await status_of_asking(gateway, b'{"no": "query"}') == 400

        assert not gateway.state.held


async def test_a_client_that_leaves_gives_its_lease_back(core: StubCore) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(META))
        await asyncio.Event().wait()

    core.script = answer
    async with running_gateway(core, LIMITS="query:run 1 open per subject") as gateway:
        stream = await gateway.asking()
        assert gateway.state.held
        stream.writer.close()

        async with asyncio.timeout(30):
            while gateway.state.held:  # noqa: ASYNC110  # it happens on the same loop
                await asyncio.sleep(0.01)


async def test_a_body_that_takes_long_is_not_charged_again(
    core: StubCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edge.http.bodies.ASK_AGAIN_AFTER_S", -1.0)
    async with running_gateway(core, LIMITS=LIMITS) as gateway:
        before = len(gateway.state.calls)
        headers = {**await gateway.bearer(), "Content-Type": "application/json"}
        reader, writer = await asyncio.open_connection(*gateway.address)
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        head = f"POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n{lines}\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.write(b'{"query": 12}')
        assert b" 400 " in await reader.readline()
        writer.close()

        # Of the login its address and its account, of the question its address and its caller.
        assert len(gateway.state.calls) - before == 4


async def test_when_nothing_can_be_counted_requests_are_let_in(core: StubCore) -> None:
    async with running_gateway(core, LIMITS=LIMITS) as gateway:
        gateway.state.down = True

        assert await ask_me(gateway, "alice", times=5) == [200] * 5
        # Of the login and of each request its address, and then its account or its caller.
        assert counted(gateway, "gateway_limits_not_counted_total") == 12.0


async def test_the_actions_that_stream_are_those_of_the_routes(gateway: Gateway) -> None:
    """Limits on open streams are for these; they are named where no route is known."""
    declared = [one for _, _, one in endpoints(gateway.app) if one is not None]

    assert {one.action for one in declared if one.kind == "stream"} == STREAMED


async def test_a_question_on_a_socket_counts_as_one_over_http(core: StubCore) -> None:
    """Against the same limits, with its own lease, which its end gives back."""
    limits = "query:run 60/m burst 2 per subject, 1 open per subject"
    async with running_gateway(core, LIMITS=limits) as gateway, signed_in(gateway) as socket:
        for number in ("1", "2"):
            await socket.ask(number)
            assert (await socket.answer(number))[-1]["event"] == "done"
        await socket.ask("3")
        error = await socket.error("3")

        assert error["code"] == "RATE_LIMITED"
        assert error["details"]["limit"] == "query:run/subject/m"
        assert not gateway.state.held
        assert await status_of_asking(gateway) == 429


async def test_sockets_that_are_opened_are_counted_by_their_address(core: StubCore) -> None:
    """Each may bring a made-up credential."""
    async with running_gateway(core, LIMITS="socket 60/m burst 2 per address") as gateway:
        path = "/api/v1/query/ws"
        answers = [await gateway.client.get(path) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [426, 426, 429]


async def test_without_limits_there_is_no_stage_and_no_field(gateway: Gateway) -> None:
    headers = await gateway.bearer()
    answer = await gateway.client.get("/api/v1/auth/me", headers=headers)

    assert "RateLimit" not in answer.headers
    assert "RateLimit-Policy" not in answer.headers
    assert gateway.state.calls == []
