"""Spans of a running gateway, as a collector gets them over OTLP."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.policy_bundle import policy_files
from gateway.domain.identity import User

from .conftest import Gateway, running_gateway
from .fakes import PASSWORD
from .otlp import Receiver, Told, receiving
from .raw import exchange, request, reset
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk

TRACE_ID, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{CALLER}-01"
CANARY = "c4n4ry"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def gateway(core: StubCore, receiver: Receiver) -> AsyncIterator[Gateway]:
    settings = {"OTLP_ENDPOINT": receiver.endpoint, "OTLP_SAMPLE": "1"}
    async with running_gateway(core, **settings) as running:
        yield running


def of_trace(spans: list[Told]) -> list[Told]:
    return [span for span in spans if span.trace_id == TRACE_ID]


async def traced(receiver: Receiver, names: set[str]) -> dict[str, Told]:
    """The spans of ``TRACE_ID`` by name, once all of ``names`` have come."""
    spans = await receiver.until(lambda all_: names <= {one.name for one in of_trace(all_)})
    return {span.name: span for span in of_trace(spans)}


async def test_a_streamed_answer_is_one_span_with_children(
    gateway: Gateway, receiver: Receiver
) -> None:
    """The caller's trace goes on; events are counted, not traced; the core gets its call's span."""
    streaming = await gateway.asking(traceparent=TRACEPARENT)
    assert (await streaming.rest()).endswith(DONE)
    streaming.writer.close()
    names = {"POST /api/v1/query", "policy decide", "core open_query"}
    found = await traced(receiver, names)
    assert found.keys() == names
    server = found["POST /api/v1/query"]
    assert (server.is_server, server.parent_id, server.failed) == (True, CALLER, False)
    assert {found[name].parent_id for name in names - {server.name}} == {server.span_id}
    span = server.attributes
    assert span["http.route"] == "/api/v1/query"
    assert (span["http.request.method"], span["http.response.status_code"]) == ("POST", 200)
    assert (span["gateway.decision"], span["gateway.action"]) == ("allow", "query:run")
    assert (span["gateway.stream.end"], span["gateway.stream.events"]) == ("done", 3)
    assert span["gateway.stream.bytes"] > len(META + TOKEN + DONE)
    assert span["gateway.stream.first_event_ms"] >= 0
    passed_on = gateway.core.headers_of_query()["traceparent"]
    assert passed_on == f"00-{TRACE_ID}-{found['core open_query'].span_id}-01"
    assert receiver.resource["service.name"] == "knowledge-base-gateway"


async def test_a_request_without_a_trace_begins_one(gateway: Gateway, receiver: Receiver) -> None:
    """Two of them: two traces, each with its own root."""
    for _ in range(2):
        await gateway.client.get("/healthz")
    spans = await receiver.until(lambda all_: [one.name for one in all_].count("GET /healthz") == 2)
    roots = [span for span in spans if span.name == "GET /healthz"]
    assert len({span.trace_id for span in roots}) == 2
    assert {span.parent_id for span in roots} == {""}


async def test_storage_and_workflow_are_children_too(gateway: Gateway, receiver: Receiver) -> None:
    """An upload asks both of them; presigning is no call."""
    headers = {**await gateway.bearer(), "traceparent": TRACEPARENT}
    body = {"filename": "a.txt", "content_type": "text/plain", "size": 3}
    answer = await gateway.client.post("/api/v1/documents", json=body, headers=headers)
    assert answer.status_code == 201
    headers = {**headers, "X-Unknown": CANARY}
    await gateway.client.delete(
        f"/api/v1/documents/{answer.json()['document_id']}", headers=headers
    )
    found = await traced(receiver, {"temporal start", "storage delete", "core delete_document"})
    assert not found["temporal start"].is_server


async def test_a_failure_says_its_code(gateway: Gateway, receiver: Receiver) -> None:
    """A core that breaks off is the span's error; a client's own mistake is none."""
    gateway.core.sends(STREAM_HEAD + chunk(META) + END)
    streaming = await gateway.asking(traceparent=TRACEPARENT)
    await streaming.rest()
    streaming.writer.close()
    found = await traced(receiver, {"POST /api/v1/query"})
    assert found["POST /api/v1/query"].failed
    assert found["POST /api/v1/query"].attributes["error.type"] == "CORE_TRUNCATED"
    await gateway.client.get("/api/v1/auth/me", headers={"traceparent": TRACEPARENT})
    refused = (await traced(receiver, {"GET /api/v1/auth/me"}))["GET /api/v1/auth/me"]
    assert (refused.failed, refused.attributes["gateway.error"]) == (False, "UNAUTHENTICATED")


async def test_a_client_that_leaves_ends_its_span(gateway: Gateway, receiver: Receiver) -> None:
    """With what it got until then."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking(traceparent=TRACEPARENT)
    await streaming.until(META)
    reset(streaming.writer)
    span = (await traced(receiver, {"POST /api/v1/query"}))["POST /api/v1/query"]
    assert span.attributes["gateway.stream.end"] == "client_left"
    assert span.attributes["gateway.stream.events"] == 1


async def test_no_credential_and_no_text_of_a_client_is_in_a_span(
    gateway: Gateway, receiver: Receiver
) -> None:
    """Searched for in the exporter's bytes, heads too."""
    gateway.users.users["root"] = User("root", "acme", frozenset({"admin"}), f"{CANARY}-password")
    token = (await gateway.bearer())["Authorization"]
    typed = {"Content-Type": "application/json", "traceparent": TRACEPARENT}
    gateway.core.sends(STREAM_HEAD + chunk(b'event: token\ndata: {"text":"c4n4ry"}\n\n') + END)
    asked = json.dumps({"query": CANARY}).encode()
    login = json.dumps({"username": "root", "password": f"{CANARY}-password"}).encode()
    key = json.dumps({"name": CANARY, "scopes": ["query:run"]}).encode()
    secrets = [token.removeprefix("Bearer "), PASSWORD, CANARY]
    for target, headers, body in (
        ("/api/v1/query", {**typed, "Authorization": token}, asked),
        ("/api/v1/query", {**typed, "Authorization": f"Bearer {CANARY}.b.c"}, asked),
        (f"/api/v1/query?x={CANARY}", {**typed, "Authorization": token}, asked),
        ("/auth/login", typed, login),
        ("/api/v1/keys", {**typed, "Authorization": token, "Cookie": CANARY}, key),
        (f"/{CANARY}", {**typed, "User-Agent": CANARY, "tracestate": f"a={CANARY}"}, b"{}"),
    ):
        answer = await exchange(gateway.address, request("POST", target, headers, body))
        if target == "/api/v1/keys":
            assert answer.status == 201
            secrets.append(str(answer.json()["secret"]).rsplit("_", 1)[1])
        if answer.status == 200 and target == "/auth/login":
            secrets.append(answer.json()["access_token"])
    await exchange(gateway.address, request(CANARY.upper(), "/healthz", typed))
    await traced(receiver, {"POST /api/v1/query", "POST /auth/login", "POST", "_OTHER"})
    sent = b"".join(receiver.raw) + "".join(receiver.heads).encode()
    assert len(secrets) == 5
    assert [text for text in secrets if text.lower().encode() in sent.lower()] == []


async def test_a_failed_call_tells_no_text_of_its_exception(
    gateway: Gateway, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library's exception may quote what it was given: its class is told, and no more."""

    async def refuse(*_: object) -> None:
        raise RuntimeError(f"cannot start {CANARY}")

    monkeypatch.setattr(gateway.workflows, "start", refuse)
    headers = {**await gateway.bearer(), "traceparent": TRACEPARENT}
    body = {"filename": f"{CANARY}.txt", "content_type": "text/plain", "size": 3}
    answer = await gateway.client.post("/api/v1/documents", json=body, headers=headers)
    assert answer.status_code == 500
    found = await traced(receiver, {"temporal start", "POST /api/v1/documents"})
    assert found["temporal start"].failed
    assert found["temporal start"].attributes == {"error.type": "RuntimeError"}
    assert found["POST /api/v1/documents"].attributes["error.type"] == "INTERNAL"
    assert CANARY.encode() not in b"".join(receiver.raw)


async def test_a_sample_of_none_sends_nothing(core: StubCore, receiver: Receiver) -> None:
    """Whatever the caller's flag says; the trace goes on to the core, flagged as not sampled."""
    settings = {"OTLP_ENDPOINT": receiver.endpoint, "OTLP_SAMPLE": "0"}
    async with running_gateway(core, **settings) as gateway:
        streaming = await gateway.asking(traceparent=TRACEPARENT)
        await streaming.rest()
        streaming.writer.close()
        passed_on = core.headers_of_query()["traceparent"]
    assert passed_on.startswith(f"00-{TRACE_ID}-")
    assert passed_on.endswith("-00")
    assert receiver.spans == []


async def test_a_collector_that_is_not_there_disturbs_nobody(core: StubCore) -> None:
    """Requests are answered, and the worker stops all the same."""
    settings = {"OTLP_ENDPOINT": "http://127.0.0.1:1", "OTLP_SAMPLE": "1"}
    async with running_gateway(core, **settings) as gateway:
        assert (await gateway.client.get("/healthz")).status_code == 200


async def test_without_a_collector_the_callers_trace_is_passed_on_as_it_came(
    core: StubCore,
) -> None:
    async with running_gateway(core) as gateway:
        streaming = await gateway.asking(traceparent=TRACEPARENT)
        await streaming.rest()
        streaming.writer.close()
        assert core.headers_of_query()["traceparent"] == TRACEPARENT
        streaming = await gateway.asking()
        await streaming.rest()
        streaming.writer.close()
        assert "traceparent" not in core.headers_of_query()


@pytest.mark.usefixtures("opa_on_path")
async def test_a_reload_reaches_the_policy_behind_its_spans(core: StubCore, tmp_path: Path) -> None:
    """With traces on, faults of the policy's files are found and good ones are taken over."""
    folder = Path(shutil.copytree(policy_files(), tmp_path / "policy"))
    settings = {"OTLP_ENDPOINT": "http://127.0.0.1:1", "POLICY_DIR": str(folder)}
    async with running_gateway(core, **settings) as gateway:
        services: Any = gateway.application.lifecycle._running
        before = services.policy.revision
        (folder / "more.rego").write_text("package gateway.authz\n\nallow if {{\n")
        (fault,) = await services.dependencies.faults()
        assert fault.startswith("policy: ")
        (folder / "more.rego").write_text("package gateway.authz\n\nmore := 1\n")
        assert await services.dependencies.faults() == []
        await services.dependencies.reload(services.settings)
        assert services.policy.revision != before
