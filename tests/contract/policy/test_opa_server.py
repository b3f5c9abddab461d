"""An OPA server that is away, frozen, not OPA at all, or has more to tell than the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.adapters.opa import ANSWER_LIMIT_BYTES, UNVERSIONED, OpaPolicy
from gateway.domain.policy import POLICY_BROKEN
from gateway.errors import PolicyBroken, PolicyUnavailable
from tests.freezing import frozen

PATIENT_S = 60.0
IMPATIENT_S = 0.2

QUESTION: dict[str, Any] = {}
ALLOWS = b'{"result":{"allow":true,"reason":"allowed","obligations":{}}}'


async def test_frozen_server_is_unavailable_and_back_when_it_thaws(
    serve: Callable[..., Any], policy_folder: Callable[..., Path], client: httpx.AsyncClient
) -> None:
    """A server that takes the connection and says nothing costs the budget, not the request."""
    server = serve(policy_folder(SOUND))
    hasty = OpaPolicy(client, server.base_url, budget_s=IMPATIENT_S)
    with frozen(server.process):
        for ask in (lambda: hasty.decide_input(QUESTION), hasty.check):
            with pytest.raises(PolicyUnavailable) as caught:
                await ask()
            assert not isinstance(caught.value, PolicyBroken)
    patient = OpaPolicy(client, server.base_url, budget_s=PATIENT_S)
    assert (await patient.decide_input(QUESTION)).reason == "x"


async def test_stopped_server_is_unavailable_and_back_after_its_restart(
    serve: Callable[..., Any], policy_folder: Callable[..., Path], client: httpx.AsyncClient
) -> None:
    """The connections kept from before the restart fail nobody."""
    server = serve(policy_folder(SOUND))
    policy = OpaPolicy(client, server.base_url, budget_s=PATIENT_S)
    await asyncio.gather(*(policy.decide_input(QUESTION) for _ in range(10)))
    server.stop()
    with pytest.raises(PolicyUnavailable):
        await policy.decide_input(QUESTION)
    with pytest.raises(PolicyUnavailable):
        await policy.check()
    server.restart()
    await policy.check()
    assert (await policy.decide_input(QUESTION)).reason == "x"


async def test_server_with_no_policy_is_broken(
    serve: Callable[..., Any], tmp_path: Path, client: httpx.AsyncClient
) -> None:
    """A healthy OPA that was given nothing denies, and is not ready."""
    policy = OpaPolicy(client, serve(tmp_path).base_url, budget_s=PATIENT_S)
    assert (await policy.decide_input(QUESTION)).reason == POLICY_BROKEN
    with pytest.raises(PolicyBroken):
        await policy.check()


async def test_decision_id_is_opas_own_when_it_logs_decisions(
    serve: Callable[..., Any], policy_folder: Callable[..., Path], client: httpx.AsyncClient
) -> None:
    """The id a client is told finds the decision in OPA's own log."""
    server = serve("--set", "decision_logs.console=true", policy_folder(SOUND))
    policy = OpaPolicy(client, server.base_url, budget_s=PATIENT_S)
    answers = await client.post(f"{server.base_url}/v1/data/gateway/authz", json={"input": {}})
    ours = (await policy.decide_input(QUESTION)).decision_id
    assert "decision_id" in answers.json()
    assert ours != answers.json()["decision_id"]
    assert ours[14] == "4"  # OPA's ids are UUIDv4, the gateway's own are UUIDv7


async def test_revision_is_the_bundles(
    serve: Callable[..., Any], policy_folder: Callable[..., Path], client: httpx.AsyncClient
) -> None:
    """With a bundle its revision is the policy's, so that a new bundle leaves old decisions."""
    folder = policy_folder(SOUND)
    manifest = {"revision": "2025-01-01", "roots": ["gateway"]}
    (folder / ".manifest").write_text(json.dumps(manifest), encoding="utf-8")
    policy = OpaPolicy(client, serve("--bundle", folder).base_url, budget_s=PATIENT_S)
    assert policy.revision == UNVERSIONED
    await policy.check()
    assert "2025-01-01" in policy.revision


SOUND = 'package gateway.authz\n\nallow := false\nreason := "x"\nobligations := {}\n'


@asynccontextmanager
async def answering(raw: bytes, *, then_hang: bool = False) -> AsyncIterator[str]:
    """A server on a free port that says ``raw`` to everybody; yields its base URL."""
    hang_until = asyncio.Event()
    busy: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
            if then_hang:
                await hang_until.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        busy.add(asyncio.ensure_future(serve_one(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        hang_until.set()
        server.close()
        await asyncio.gather(*busy)


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


NOT_AN_ANSWER = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "nothing at all": b"",
    "an empty body": http("200 OK", b""),
    "a web page": http("200 OK", b"<html>allow: true</html>", "Content-Type: text/html"),
    "a JSON list": http("200 OK", b"[" + ALLOWS + b"]"),
    "a JSON string": http("200 OK", b'"allow"'),
    "JSON that breaks off": http("200 OK", ALLOWS[:-1]),
    "an allow with more behind it": http("200 OK", ALLOWS + b"x"),
    "not UTF-8": http("200 OK", ALLOWS.replace(b"allowed", b"\xff\xfe")),
    "deep JSON": http("200 OK", b"[" * 60_000),
    "a body that breaks off": http("200 OK", ALLOWS).replace(b"Length: ", b"Length: 1"),
    "a compressed allow": http("200 OK", gzip.compress(ALLOWS), "Content-Encoding: gzip"),
    "too long an allow": http("200 OK", ALLOWS + b" " * ANSWER_LIMIT_BYTES),
    "201 with an allow": http("201 Created", ALLOWS),
    "204": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "400 with an allow": http("400 Bad Request", ALLOWS),
    "401": http("401 Unauthorized", b'{"code":"unauthorized"}'),
    "404 with an allow": http("404 Not Found", ALLOWS),
    "500 with an allow": http("500 Internal Server Error", ALLOWS),
    "500 that is no evaluation error": http(
        "500 Internal Server Error", b'{"code":"internal_error","errors":[{"code":"io_error"}]}'
    ),
    "500, evaluation cancelled": http(
        "500 Internal Server Error", b'{"errors":[{"code":"eval_cancel_error"}]}'
    ),
    "500 with odd errors": http("500 Internal Server Error", b'{"errors":[1,null,{"code":2}]}'),
    "500 with errors that are no list": http("500 Internal Server Error", b'{"errors":7}'),
    "503 with an allow": http("503 Service Unavailable", ALLOWS),
}


@pytest.mark.parametrize("raw", NOT_AN_ANSWER.values(), ids=NOT_AN_ANSWER.keys())
async def test_what_is_no_answer_is_unavailable(client: httpx.AsyncClient, raw: bytes) -> None:
    """Whatever is not OPA's well-formed 200 allows nothing, even with ``allow: true`` in it."""
    async with answering(raw) as base_url:
        policy = OpaPolicy(client, base_url, budget_s=PATIENT_S)
        with pytest.raises(PolicyUnavailable) as caught:
            await policy.decide_input(QUESTION)
        assert not isinstance(caught.value, PolicyBroken)
        with pytest.raises(PolicyUnavailable):
            await policy.check()


async def test_redirect_to_an_allow_is_not_followed(client: httpx.AsyncClient) -> None:
    """Who answers for the policy is set by the operator, not by a header."""
    async with (
        answering(http("200 OK", ALLOWS)) as elsewhere,
        answering(http("307 Temporary Redirect", b"", f"Location: {elsewhere}")) as here,
    ):
        policy = OpaPolicy(client, here, budget_s=PATIENT_S)
        with pytest.raises(PolicyUnavailable):
            await policy.decide_input(QUESTION)


@pytest.mark.parametrize(
    "raw",
    [b"", b"HTTP/1.1 200 OK\r\n", http("200 OK", ALLOWS).replace(b"Length: ", b"Length: 9")],
    ids=["before the head", "within the head", "within the body"],
)
async def test_silence_costs_the_budget(client: httpx.AsyncClient, raw: bytes) -> None:
    """A server that stops talking, wherever in its answer, is unavailable after the budget."""
    async with answering(raw, then_hang=True) as base_url:
        with pytest.raises(PolicyUnavailable):
            await OpaPolicy(client, base_url, budget_s=IMPATIENT_S).decide_input(QUESTION)


ILL_SHAPED = {
    "no result": b"{}",
    "result null": b'{"result":null}',
    "result true": b'{"result":true}',
    "result is a list": b'{"result":[{"allow":true}]}',
    "empty result": b'{"result":{}}',
    "allow alone": b'{"result":{"allow":true}}',
    "allow is text": ALLOWS.replace(b"true", b'"true"'),
    "allow is 1": ALLOWS.replace(b"true", b"1"),
    "allow in a list": ALLOWS.replace(b"true", b"[true]"),
    "reason is null": ALLOWS.replace(b'"allowed"', b"null"),
    "obligations are null": ALLOWS.replace(b"{}", b"null"),
    "allow beside the result": b'{"allow":true,"reason":"allowed","obligations":{}}',
}


@pytest.mark.parametrize("body", ILL_SHAPED.values(), ids=ILL_SHAPED.keys())
async def test_result_of_another_shape_denies(client: httpx.AsyncClient, body: bytes) -> None:
    """OPA answers and the policy cannot: a denial that names the policy as broken."""
    async with answering(http("200 OK", body)) as base_url:
        policy = OpaPolicy(client, base_url, budget_s=PATIENT_S)
        decision = await policy.decide_input(QUESTION)
        assert (decision.allow, decision.reason) == (False, POLICY_BROKEN)
        with pytest.raises(PolicyBroken):
            await policy.check()


async def test_one_question_on_the_wire() -> None:
    """The whole package is asked for, with the input and nothing else of the request."""
    seen: list[httpx.Request] = []

    def opa(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=ALLOWS)

    async with httpx.AsyncClient(transport=httpx.MockTransport(opa)) as client:
        policy = OpaPolicy(client, "http://opa:8181/", PATIENT_S)
        decision = await policy.decide_input({"action": "é"})
    assert decision.allow is True
    (request,) = seen
    assert (request.method, request.url.path) == ("POST", "/v1/data/gateway/authz")
    assert request.content == '{"input":{"action":"é"}}'.encode()
    assert "Authorization" not in request.headers
    assert "Cookie" not in request.headers


@pytest.mark.parametrize(
    ("script", "answered"),
    [
        ([httpx.ReadError("reset"), ALLOWS], True),
        ([httpx.RemoteProtocolError("closed"), ALLOWS], True),
        ([httpx.WriteError("broken pipe"), ALLOWS], True),
        ([httpx.ReadError("reset"), httpx.ReadError("reset"), ALLOWS], False),
        ([httpx.ConnectError("refused"), ALLOWS], False),
        ([httpx.ReadTimeout("slow"), ALLOWS], False),
        ([httpx.PoolTimeout("full"), ALLOWS], False),
    ],
)
async def test_connection_that_dies_in_use_is_tried_once_more(
    script: list[Exception | bytes], answered: bool
) -> None:
    """A kept connection that OPA closed fails nobody; any other failure is OPA's."""
    outcomes = iter(script)

    def opa(request: httpx.Request) -> httpx.Response:
        if isinstance(outcome := next(outcomes), Exception):
            raise outcome
        return httpx.Response(200, content=outcome)

    async with httpx.AsyncClient(transport=httpx.MockTransport(opa)) as client:
        policy = OpaPolicy(client, "http://opa:8181", budget_s=PATIENT_S)
        if answered:
            assert (await policy.decide_input(QUESTION)).allow is True
        else:
            with pytest.raises(PolicyUnavailable):
                await policy.decide_input(QUESTION)
