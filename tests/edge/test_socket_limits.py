"""Limits and leases over a WebSocket: each question counts as the one over HTTP would."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus

from .conftest import running_gateway
from .keeping_core import settled
from .sockets import opened, signed_in
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk


async def test_each_question_counts(core: StubCore) -> None:
    """Beyond a limit it gets its error, with when to come back; the socket lives."""
    async with (
        running_gateway(core, LIMITS="query:run 1/h burst 2 per subject") as gateway,
        signed_in(gateway) as socket,
    ):
        for name in ("1", "2"):
            await socket.ask(name)
            assert (await socket.answer(name))[-1]["event"] == "done"
        await socket.ask("3")
        error = await socket.error("3")
        assert error["code"] == "RATE_LIMITED"
        assert error["details"]["retry_after_s"] > 0
        over_http = await gateway.client.post(
            "/api/v1/query", json={"query": "hi"}, headers=await gateway.bearer()
        )
        assert over_http.status_code == 429
        assert (await socket.of.ping()) is not None


async def test_limits_by_address_count_upgrades_and_questions(core: StubCore) -> None:
    """So that nobody tries credentials out by upgrades; the address is the client's."""
    limits = "query:run 1/h burst 1 per address; socket 1/h burst 1 per address"
    async with running_gateway(core, LIMITS=limits) as gateway:
        async with signed_in(gateway) as socket:
            await socket.ask("1")
            assert (await socket.answer("1"))[-1]["event"] == "done"
            await socket.ask("2")
            assert (await socket.error("2"))["code"] == "RATE_LIMITED"
        with pytest.raises(InvalidStatus) as refused:
            async with opened(gateway):
                pass
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["Retry-After"]) > 0


async def test_open_questions_hold_leases(core: StubCore) -> None:
    """And give them back at any end: a whole answer, a cancel, a refusal, a client that leaves."""
    async with running_gateway(core, LIMITS="query:run 1 open per subject") as gateway:
        go_on = core.holds(STREAM_HEAD + chunk(META), then=chunk(DONE) + END)
        async with signed_in(gateway) as socket:
            await socket.ask("1")
            await socket.next()
            await socket.ask("2")
            assert (await socket.error("2"))["code"] == "RATE_LIMITED"
            go_on.set()
            assert (await socket.answer("1"))[-1]["event"] == "done"
            core.holds(STREAM_HEAD + chunk(META))
            await socket.ask("3")
            await socket.next()
            await socket.say(type="cancel", id="3")
            assert (await socket.answer("3"))[-1]["event"] == "cancelled"
            await socket.say(type="ask", id="4")
            assert (await socket.error("4"))["code"] == "VALIDATION_ERROR"
            await settled(lambda: not gateway.state.held)
            await socket.ask("5")
            await socket.next()
            assert gateway.state.held
        await settled(lambda: not gateway.state.held)
