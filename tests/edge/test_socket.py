"""Questions over a WebSocket, as the ``websockets`` client asks them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from gateway.edge.ws.session import OPEN_LIMIT

from .conftest import Gateway
from .raw import exchange, request
from .sockets import PATH, opened, signed_in
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, chunk
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

BOTH_LOOPS = True
CORE_404 = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 75\r\n\r\n"
    b'{"error":{"code":"NOT_FOUND","message":"no","details":{}}}                 '
)


async def test_a_question_is_answered_with_the_cores_events(gateway: Gateway) -> None:
    """Each event is a message with the question's id, and data that is the event's own JSON."""
    async with signed_in(gateway) as socket:
        assert socket.of.subprotocol == "kbg.v1"
        await socket.ask("one", "what is it?", top_k=3)
        assert await socket.answer("one") == [
            {"id": "one", "event": "meta", "data": {"query_id": "q-1", "model": "stub"}},
            {"id": "one", "event": "token", "data": {"text": "hello"}},
            {"id": "one", "event": "done", "data": {"finish_reason": "stop"}},
        ]
    assert json.loads(gateway.core.bodies[-1]) == {"query": "what is it?", "top_k": 3}
    assert gateway.core.headers_of_query()["x-kb-subject"] == "alice"


async def test_the_same_answer_as_one_document(gateway: Gateway) -> None:
    """``"stream": false`` is a field of the question here as well: one message, and the last."""
    over_http = await gateway.client.post(
        "/api/v1/query", json={"query": "hi", "stream": False}, headers=await gateway.bearer()
    )
    async with signed_in(gateway) as socket:
        await socket.ask("d", stream=False)
        assert await socket.answer("d") == [
            {"id": "d", "event": "answer", "data": over_http.json()}
        ]


async def test_several_questions_are_open_at_once(gateway: Gateway) -> None:
    """Their messages are told apart by the ids; the ninth is refused, and ends nothing."""
    go_on = gateway.core.holds(STREAM_HEAD + chunk(META), then=chunk(DONE) + END)
    names = [f"q{number}" for number in range(OPEN_LIMIT)]
    async with signed_in(gateway) as socket:
        for name in names:
            await socket.ask(name)
        assert sorted([(await socket.next())["id"] for _ in names]) == names
        await socket.ask("ninth")
        assert (await socket.error("ninth"))["code"] == "CONFLICT"
        go_on.set()
        ended = [await socket.next() for _ in names]
        assert sorted(message["id"] for message in ended) == names
        assert {message["event"] for message in ended} == {"done"}
        await socket.ask("ninth")
        assert [one["event"] for one in await socket.answer("ninth")] == ["meta", "done"]


async def test_an_id_is_free_when_the_last_message_came(gateway: Gateway) -> None:
    """Also while the core takes its time to end the body, and for a socket full of questions."""
    gateway.core.holds(STREAM_HEAD + chunk(META + DONE))  # and no end of the body
    async with signed_in(gateway) as socket:
        for _ in range(3):
            for name in "abcdefgh"[:OPEN_LIMIT]:
                await socket.ask(name)
            told = [await socket.next() for _ in range(2 * OPEN_LIMIT)]
            assert [one["event"] for one in told].count("done") == OPEN_LIMIT


async def test_a_question_that_is_cancelled_ends_at_the_core(gateway: Gateway) -> None:
    """With one last message; the other questions run on, and the id can be used again."""
    gateway.core.holds(STREAM_HEAD + chunk(META))
    async with signed_in(gateway) as socket:
        await socket.ask("a")
        assert (await socket.next())["event"] == "meta"
        await socket.say(type="cancel", id="a")
        assert await socket.answer("a") == [{"id": "a", "event": "cancelled", "data": {}}]
        await asyncio.wait_for(gateway.core.closed.wait(), 20)
        await socket.say(type="cancel", id="a")  # it has ended: nothing is said
        gateway.core.sends(STREAM_HEAD + chunk(DONE) + END)
        await socket.ask("a")
        assert [one["event"] for one in await socket.answer("a")] == ["done"]


async def test_a_question_can_be_cancelled_before_it_began(gateway: Gateway) -> None:
    async with signed_in(gateway) as socket:
        await socket.ask("a")
        await socket.say(type="cancel", id="a")
        assert (await socket.answer("a"))[-1]["event"] in ("cancelled", "done")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a field too many": ({"colour": "red"}, "VALIDATION_ERROR"),
    "no query": ({"query": ""}, "VALIDATION_ERROR"),
    "a number too large": ({"top_k": 51}, "VALIDATION_ERROR"),
    "an id that is none": ({"document_ids": ["x"]}, "VALIDATION_ERROR"),
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_question_that_is_wrong_gets_its_error_and_ends_nothing(
    fault: str, gateway: Gateway
) -> None:
    """The same one as over HTTP, field by field."""
    fields, code = REFUSED[fault]
    body = {"query": "hi", **fields}
    over_http = await gateway.client.post(
        "/api/v1/query", json=body, headers=await gateway.bearer()
    )
    expected = over_http.json()["error"]
    async with signed_in(gateway) as socket:
        await socket.say(type="ask", id="1", **body)
        error = await socket.error()
        assert (error["code"], error["message"]) == (code, expected["message"])
        assert error["details"]["fields"] == expected["details"]["fields"]
        assert len(error["details"]["request_id"]) == 36
        await socket.ask("2")
        assert (await socket.answer("2"))[-1]["event"] == "done"


async def test_what_would_have_been_a_status_is_an_error_message(gateway: Gateway) -> None:
    """The core's refusal before its head, in the shape that HTTP gives it."""
    gateway.core.sends(CORE_404)
    async with signed_in(gateway) as socket:
        await socket.ask()
        assert (await socket.error())["code"] == "NOT_FOUND"


async def test_a_question_nobody_may_put_is_forbidden(gateway: Gateway) -> None:
    """Its policy question is the very one of HTTP: an action, a route, a method that it knows."""
    made = await gateway.client.post(
        "/api/v1/keys",
        json={"name": "k", "scopes": ["documents:list"]},
        headers=await gateway.bearer(),
    )
    async with opened(gateway, {"X-API-Key": made.json()["secret"]}) as socket:
        for name in ("1", "2"):
            await socket.ask(name)
            error = await socket.error(name)
            assert error["code"] == "FORBIDDEN"
            assert error["details"]["decision_id"]


async def test_events_that_are_not_json_end_their_question(gateway: Gateway) -> None:
    """What came before is told; the socket lives."""
    bad = b"event: token\ndata: hello\n\n"
    for events in (META + TOKEN + bad + DONE, bad):
        gateway.core.sends(STREAM_HEAD + chunk(META) + chunk(events) + END)
        async with signed_in(gateway) as socket:
            await socket.ask()
            told = await socket.answer()
            assert told[-1]["data"]["error"]["code"] == "CORE_PROTOCOL_ERROR"
            assert len(told) == (4 if events is not bad else 2)


async def test_events_travel_in_every_spelling(gateway: Gateway) -> None:
    """An unnamed event is a ``message``; data over several lines is one value."""
    text = 'data: {"ä":\ndata: 1}\n\n: beat\n\nid: 7\nevent: x"y\ndata:[1]\n\n'.encode()
    sent = STREAM_HEAD + chunk(META) + chunk(text) + chunk(DONE.replace(b"\n", b"\r\n")) + END
    gateway.core.sends(sent)
    async with signed_in(gateway) as socket:
        await socket.ask()
        told = [(one["event"], one["data"]) for one in await socket.answer()]
    assert told[1:] == [("message", {"ä": 1}), ('x"y', [1]), ("done", {"finish_reason": "stop"})]


async def test_each_question_and_the_socket_have_a_line_in_the_log(
    gateway: Gateway, lines: Lines
) -> None:
    """By the door they came through, with the verdict that HTTP's have."""
    async with signed_in(gateway) as socket:
        await socket.ask("1")
        await socket.answer("1")
        await socket.say(type="ask", id="2")
        request_id = (await socket.error("2"))["details"]["request_id"]
    socket_id = socket.of.response.headers["X-Request-ID"]
    whole = await lines.request(socket_id)
    asked = [line for line in lines.requests() if line["route"] == "/api/v1/query"]
    assert [line["status"] for line in asked] == [200, 400]
    assert {line["door"] for line in (*asked, whole)} == {"ws"}
    assert {line["principal"] for line in (*asked, whole)} == {"alice"}
    assert asked[0]["action"] == "query:run"
    assert (asked[0]["decision"], asked[0]["stream_end"]) == ("allow", "done")
    assert (asked[1]["request_id"], asked[1]["error"]) == (request_id, "VALIDATION_ERROR")
    assert (whole["status"], whole["method"], whole["route"]) == (101, "GET", PATH)
    assert (whole["close_code"], whole["socket_end"], whole["questions"]) == (
        *(1000, "client_closed"),
        2,
    )


async def test_two_users_see_each_their_own(gateway: Gateway) -> None:
    """Of two tenants, on two sockets, with the same ids."""
    async with signed_in(gateway, "alice") as one, signed_in(gateway, "carol") as other:
        for socket in (one, other):
            await socket.ask("same", "who?")
        assert [message["id"] for message in await one.answer("same")] == ["same"] * 3
        assert [message["id"] for message in await other.answer("same")] == ["same"] * 3
    told = [head for head in gateway.core.heads if head.startswith("POST /v1/query")]
    who = {
        tuple(
            line.split(": ", 1)[1]
            for line in sorted(head.lower().split("\r\n"))
            if line.startswith(("x-kb-subject", "x-kb-tenant"))
        )
        for head in told
    }
    assert who == {("alice", "acme"), ("carol", "other")}


async def test_a_client_that_leaves_ends_its_questions_at_the_core(gateway: Gateway) -> None:
    """By a close, by a reset, by a half-close."""
    for way in ("close", "reset", "half-close"):
        gateway.core.holds(STREAM_HEAD + chunk(META))
        async with signed_in(gateway) as socket:
            await socket.ask()
            await socket.next()
            if way == "close":
                await socket.of.close()
            elif way == "reset":
                socket.of.transport.abort()
            else:
                socket.of.transport.write_eof()
            await asyncio.wait_for(gateway.core.closed.wait(), 20)


async def test_the_openapi_document_names_the_upgrade(gateway: Gateway) -> None:
    """As far as it can: a public GET that is answered with 101."""
    answer = await exchange(gateway.address, request("GET", "/openapi.json"))
    operation = answer.json()["paths"][PATH]["get"]
    assert "101" in operation["responses"]
    assert "426" in operation["responses"]
    assert operation["security"] == []


async def test_sockets_are_counted(gateway: Gateway) -> None:
    """Nothing of them is left when they are gone."""
    gateway.core.holds(STREAM_HEAD + chunk(META))
    async with contextlib.AsyncExitStack() as open_ones:
        for _ in range(5):
            socket = await open_ones.enter_async_context(signed_in(gateway))
            await socket.ask()
            await socket.next()
        assert len(gateway.application.connections) >= 5
