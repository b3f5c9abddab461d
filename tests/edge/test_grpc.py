"""The gRPC services on a real socket: each method, what is refused and how, and their limits.

What is the same at every door is in ``test_doors.py``, how events are told in
``test_conformance.py``.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blueprints.grpc_services import METHODS
from gateway.edge.grpc.door import READING
from gateway.edge.grpc.methods import SERVICES
from gateway.edge.grpc.proto import query_pb2
from tests.certificates import Authority, Pair, client
from tests.components import running_redis

from .conftest import Gateway, running_gateway
from .doors import all_open
from .grpc_client import ASK, LITTLE_ROOM, Failure, asking, call, channel, events_of, metadata, rest
from .keeping_core import keeping_core, settled
from .raw import TIMEOUT_S, stops
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_core_records import ID, RECORD, answers
from .test_doors import left_by
from .test_logs import Lines, lines, uncached
from .test_search import PASSAGE
from .test_tls import https

__all__ = ["lines", "uncached"]

DOCUMENT = ID.format(0)


@pytest.fixture
async def gateway(core: StubCore) -> AsyncIterator[Gateway]:
    async with running_gateway(core, **all_open()) as running:
        yield running


@pytest.fixture
async def opened(gateway: Gateway) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(gateway) as one:
        yield one


async def failure(calling: Any) -> Failure:
    """What a call fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calling
    return Failure.of(caught.value)


# --- the methods ----------------------------------------------------------------------------------


def test_every_method_is_served() -> None:
    """What the protos promise is answered, and nothing else."""
    promised = {
        f"{name}/{method}"
        for name, service in SERVICES.items()
        for method in service.methods_by_name
    }
    assert promised == METHODS.keys()


async def test_a_token_comes_from_a_login_and_ends_with_a_logout(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    """As over HTTP: it is the same token, and the same caller."""
    asked = {"username": "alice", "password": "correct horse battery"}
    wrong = await failure(call(opened, "AuthService/Login", asked))
    assert (wrong.status, wrong.code) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS")
    bearer = await gateway.bearer()
    me = await call(opened, "AuthService/Me", {}, bearer)
    told = (await gateway.client.get("/api/v1/auth/me", headers=bearer)).json()
    assert (me.subject, me.tenant, list(me.roles)) == ("alice", "acme", told["roles"])
    assert (list(me.scopes), me.expires_at) == ([], told["expires_at"])
    await call(opened, "AuthService/Logout", {"all": False}, bearer)
    gone = await failure(call(opened, "AuthService/Me", {}, bearer))
    assert (gone.status, gone.code) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_keys_are_listed_rotated_and_revoked(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    """The secret is in the answers that make it, and in no other."""
    bearer = await gateway.bearer()
    asked = {"name": "k", "scopes": ["auth:me"], "expires_in": 3600}
    made = (await call(opened, "KeysService/CreateKey", asked, bearer)).key
    me = await call(opened, "AuthService/Me", {}, {"X-API-Key": made.secret})
    assert (me.auth_method, list(me.scopes)) == ("api_key", ["auth:me"])
    listed = await call(opened, "KeysService/ListKeys", {}, bearer)
    assert [key.key_id for key in listed.keys] == [made.key_id]
    assert not listed.keys[0].HasField("secret")
    asked = {"key_id": made.key_id, "overlap": 0}
    rotated = (await call(opened, "KeysService/RotateKey", asked, bearer)).key
    assert rotated.secret not in ("", made.secret)
    await call(opened, "KeysService/RevokeKey", {"key_id": made.key_id}, bearer)
    listed = await call(opened, "KeysService/ListKeys", {}, bearer)
    assert listed.keys[0].HasField("revoked_at")


async def test_a_document_is_announced_listed_and_deleted(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    """The answers have the very values that HTTP's have."""
    bearer = await gateway.bearer()
    asked = {"filename": "tea.pdf", "size": 9, "content_type": "application/pdf"}
    made = await call(opened, "DocumentsService/CreateDocument", asked, bearer)
    assert (made.upload.method, made.workflow_id.endswith(made.document_id)) == ("POST", True)
    assert dict(made.upload.fields)
    answers(gateway, {"documents": [RECORD], "next_cursor": None})
    listed = await call(opened, "DocumentsService/ListDocuments", {"limit": 2}, bearer)
    told = await gateway.client.get("/api/v1/documents", params={"limit": 2}, headers=bearer)
    ids = [one["document_id"] for one in told.json()["documents"]]
    assert [one.document_id for one in listed.documents] == ids
    answers(gateway, {**RECORD, "version_id": "v1"})
    found = await call(opened, "DocumentsService/GetDocument", {"document_id": DOCUMENT}, bearer)
    told = await gateway.client.get(f"/api/v1/documents/{DOCUMENT}", headers=bearer)
    document = {name: value for name, value in told.json().items() if value not in (None, [])}
    for name, value in document.items():
        assert getattr(found.document, name) == value, name
    content = await call(opened, "DocumentsService/GetContent", {"document_id": DOCUMENT}, bearer)
    assert content.url.startswith(f"http://s3.test/uploads/acme/alice/{DOCUMENT}?")
    gateway.core.sends(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    asked = {"document_id": made.document_id}
    await call(opened, "DocumentsService/DeleteDocument", asked, bearer)
    assert any(
        head.startswith(f"DELETE /v1/documents/{made.document_id}") for head in gateway.core.heads
    )


async def test_passages_are_found_without_an_answer(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    answers(gateway, {"passages": [PASSAGE]})
    found = await call(
        opened, "SearchService/Search", {"query": "tea", "top_k": 3}, await gateway.bearer()
    )
    (passage,) = found.passages
    for name, value in PASSAGE.items():
        assert getattr(passage, name) == value, name
    assert passage.truncated is False


async def test_an_admin_acts_for_another_user(gateway: Gateway, opened: grpc.aio.Channel) -> None:
    """By ``owner``, as by ``?owner=``; nobody else may."""
    answers(gateway, {"documents": [], "next_cursor": None})
    asked = {"owner": "alice"}
    await call(opened, "DocumentsService/ListDocuments", asked, await gateway.bearer("root"))
    headers = gateway.core.headers_of("GET /v1/documents?")
    assert (headers["x-kb-subject"], headers["x-kb-actor"]) == ("alice", "root")
    calling = call(opened, "DocumentsService/ListDocuments", asked, await gateway.bearer("bob"))
    assert (await failure(calling)).status == grpc.StatusCode.PERMISSION_DENIED


async def test_a_call_that_is_sent_again_makes_nothing_twice(
    core: StubCore, tmp_path: Path
) -> None:
    """By the metadata `idempotency-key`, also where the first one came over HTTP."""
    async with (
        running_redis(tmp_path) as redis,
        running_gateway(
            core, **all_open(), REDIS_URL=f"redis://{redis.launch.address}", REDIS_TIMEOUT="5s"
        ) as gateway,
        channel(gateway) as opened,
    ):
        bearer = await gateway.bearer()
        asked = {"filename": "tea.pdf", "size": 9}
        again = {"Idempotency-Key": '"my-own"'}
        made = await gateway.client.post("/api/v1/documents", json=asked, headers=bearer | again)
        repeated = await call(opened, "DocumentsService/CreateDocument", asked, bearer | again)
        assert repeated.document_id == made.json()["document_id"]
        other = call(
            opened, "DocumentsService/CreateDocument", {**asked, "size": 8}, bearer | again
        )
        refused = await failure(other)
        assert (refused.status, refused.code) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "IDEMPOTENCY_MISMATCH",
        )


# --- what is refused, and how ---------------------------------------------------------------------


async def test_a_refusal_has_the_error_shape_in_its_details(
    gateway: Gateway, opened: grpc.aio.Channel, lines: Lines
) -> None:
    """Code, request id and what is wrong with each field; the log has the same id, and the door."""
    asked = {"query": "", "top_k": 51}
    own = {"x_request_id": "an-id-of-the-client"}
    calling = call(opened, "SearchService/Search", asked, await gateway.bearer(), **own)
    refused = await failure(calling)
    assert (refused.status, refused.code) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "VALIDATION_ERROR",
    )
    assert refused.fields is not None
    assert refused.fields.keys() == {"query", "top_k"}
    assert refused.facts == {"request_id": "an-id-of-the-client"}
    (line,) = [line for line in lines.requests() if line["door"] == "grpc"]
    assert (line["request_id"], line["status"]) == ("an-id-of-the-client", 400)
    assert (line["route"], line["action"]) == ("/api/v1/search", "search:run")


async def test_an_id_that_is_none_names_nothing(gateway: Gateway, opened: grpc.aio.Channel) -> None:
    """Whatever it is spelled with, it is no path: no other route is reached."""
    bearer = await gateway.bearer()
    for spelled in ("", "..", f"{DOCUMENT}/content", f"{DOCUMENT}?owner=bob", "ü" * 10, "a" * 9000):
        asked = {"document_id": spelled}
        refused = await failure(call(opened, "DocumentsService/GetDocument", asked, bearer))
        assert refused.code in ("NOT_FOUND", "URI_TOO_LONG"), spelled[:40]
    assert not any("/v1/documents" in head for head in gateway.core.heads)


async def test_a_credential_that_is_there_twice_is_refused(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    bearer = await gateway.bearer()
    ask = opened.unary_unary(f"/{SERVICES['AuthService'].full_name}/Me")
    twice = metadata(bearer) + metadata(bearer)
    refused = await failure(ask(b"", metadata=twice))
    assert refused.code in ("AMBIGUOUS_CREDENTIALS", "UNAUTHENTICATED")
    assert refused.status == grpc.StatusCode.UNAUTHENTICATED


async def test_nobody_known_is_refused_before_his_message_is_read(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    """Who sends none has the same answer: nothing is kept of what strangers send."""
    never_sends = opened.stream_stream(ASK)(metadata=())
    async with asyncio.timeout(TIMEOUT_S):
        refused = await failure(never_sends.read())
    assert (refused.status, refused.code) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "UNAUTHENTICATED",
    )


async def test_a_message_that_does_not_come_is_not_waited_for(core: StubCore) -> None:
    async with (
        running_gateway(core, **all_open(), BODY_TIMEOUT="100ms") as gateway,
        channel(gateway) as opened,
        asyncio.timeout(TIMEOUT_S),
    ):
        never_sends = opened.stream_stream(ASK)(metadata=metadata(await gateway.bearer()))
        refused = await failure(never_sends.read())
        assert (refused.status, refused.code) == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "REQUEST_TIMEOUT",
        )


async def test_what_reads_a_message_ends_with_its_call(core: StubCore) -> None:
    """And not before it, or grpc would write to what is free already. Refused, and left by its
    client."""
    async with (
        running_gateway(core, **all_open()) as gateway,
        channel(gateway) as opened,
        asyncio.timeout(TIMEOUT_S),
    ):
        never_sends = opened.stream_stream(ASK)(metadata=metadata(await gateway.bearer()))
        await settled(lambda: bool(_readings()))
        never_sends.cancel()
        await settled(lambda: not _readings())
    async with (
        running_gateway(core, **all_open(), BODY_TIMEOUT="100ms") as gateway,
        channel(gateway) as opened,
        asyncio.timeout(TIMEOUT_S),
    ):
        never_sends = opened.stream_stream(ASK)(metadata=metadata(await gateway.bearer()))
        await failure(never_sends.read())
        await settled(lambda: not _readings())


def _readings() -> list[Any]:
    """Of the gateway, which runs in this loop."""
    return [one for one in asyncio.all_tasks() if one.get_name() == READING]


async def test_a_message_that_is_none_is_refused(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    ask = opened.unary_unary(f"/{SERVICES['SearchService'].full_name}/Search")
    refused = await failure(ask(b"\xff\xff", metadata=metadata(await gateway.bearer())))
    assert (refused.status, refused.code) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_REQUEST",
    )


async def test_a_call_without_a_message_is_refused(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    calling = opened.stream_stream(ASK)(metadata=metadata(await gateway.bearer()))
    await calling.done_writing()
    assert (await failure(calling.read())).code == "MALFORMED_REQUEST"


async def test_a_method_that_nobody_serves_is_unimplemented(opened: grpc.aio.Channel) -> None:
    ask = opened.unary_unary("/knowledge.gateway.v1.QueryService/Guess")
    assert (await failure(ask(b""))).status == grpc.StatusCode.UNIMPLEMENTED


async def test_answers_of_limited_methods_say_what_is_left(core: StubCore) -> None:
    """In the initial metadata, by the names that HTTP's headers have."""
    async with (
        running_gateway(core, **all_open(), LIMITS="query:run 9/h per subject") as gateway,
        channel(gateway) as opened,
    ):
        calling = asking(opened, await gateway.bearer())
        head = dict(await calling.initial_metadata())
        assert head["x-request-id"]
        assert "9" in head["ratelimit-policy"]
        assert "r=8" in head["ratelimit"]
        assert (await rest(calling))[-1] == "done"


# --- limits of messages, calls and clients --------------------------------------------------------


async def test_a_message_that_is_too_long_is_refused_by_grpc(core: StubCore) -> None:
    """Before it is whole; what has its size is a question like any other."""
    async with (
        running_gateway(core, **all_open(), GRPC_MESSAGE_LIMIT="2KiB") as gateway,
        channel(gateway) as opened,
    ):
        bearer = await gateway.bearer()
        refused = await failure(asking(opened, bearer, "x" * 3000).read())
        assert refused.status == grpc.StatusCode.RESOURCE_EXHAUSTED
        packed = opened.stream_stream(ASK)(
            metadata=metadata(bearer), compression=grpc.Compression.Gzip
        )
        await packed.write(query_pb2.AskRequest(query="x" * 100_000).SerializeToString())
        refused = await failure(packed.read())
        assert refused.status == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await rest(asking(opened, bearer, "x" * 1000)))[-1] == "done"


async def test_a_connection_has_so_many_calls_at_a_time(core: StubCore) -> None:
    """One more waits at the client until one has ended; another connection has its own."""
    async with running_gateway(core, **all_open(), GRPC_STREAMS="2") as gateway:
        go_on = core.holds(STREAM_HEAD, chunk(META), then=chunk(DONE) + END)
        bearer = await gateway.bearer()
        async with channel(gateway) as opened, channel(gateway) as other:
            first = [asking(opened, bearer) for _ in range(2)]
            for one in first:
                await one.read()
            third = asking(opened, bearer)
            elsewhere = asking(other, bearer)
            await elsewhere.read()
            assert len([body for body in core.bodies if body]) == 3
            go_on.set()
            for one in (*first, elsewhere, third):
                assert (await rest(one))[-1] == "done"


async def test_a_client_that_takes_nothing_has_its_call_ended(lines: Lines) -> None:
    """The core is left, its place is free, and what waits for it is bounded."""
    async with (
        keeping_core() as core,
        running_gateway(
            core, **all_open(), STREAM_CLIENT_STALL="300ms", LIMITS="query:run 9 open per subject"
        ) as gateway,
        channel(gateway, *LITTLE_ROOM) as opened,
    ):
        sent = core.counts(4000)
        calling = asking(opened, await gateway.bearer())
        await calling.read()
        assert await stops(sent) < 4000
        await settled(lambda: "client_stalled" in lines.text)
        await settled(lambda: not gateway.state.held)
        await settled(lambda: core.visits[0].left)
        calling.cancel()


async def test_a_client_that_gives_up_leaves_the_core(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    """By its own deadline, which travels with the call."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    ask = opened.unary_stream(ASK)
    calling = ask(b"\x0a\x02hi", metadata=metadata(await gateway.bearer()), timeout=0.5)
    refused = await failure(_all(calling))
    assert refused.status == grpc.StatusCode.DEADLINE_EXCEEDED
    await left_by(gateway)


async def test_clients_that_leave_at_any_moment_are_no_fault_of_ours(
    gateway: Gateway, opened: grpc.aio.Channel, lines: Lines
) -> None:
    """Before, while and after they are answered: each is over, and nothing is kept of it."""
    bearer, moments = await gateway.bearer(), random.Random(7)
    calls = []
    for _ in range(150):
        calls.append(asking(opened, bearer))
        await asyncio.sleep(moments.random() * 0.002)
        calls[moments.randrange(len(calls))].cancel()
    for one in calls:
        one.cancel()
    await settled(lambda: not gateway.application.lifecycle.calls_beside)
    assert {line["level"] for line in lines.requests()} == {"info"}
    assert "internal error" not in lines.text


async def _all(calling: Any) -> list[Any]:
    return [one async for one in calling]


# --- events ---------------------------------------------------------------------------------------


async def test_what_a_message_has_no_field_for_stands_beside_it(
    gateway: Gateway, opened: grpc.aio.Channel
) -> None:
    """Names and fields that the protos do not know are passed on, as at every door."""
    said = b'event: token\ndata: {"text":"a","mood":"good"}\n\nevent: note\ndata: {"n":1}\n\n'
    gateway.core.sends(STREAM_HEAD, chunk(META + said + TOKEN + DONE), END)
    told = await events_of(asking(opened, await gateway.bearer()))
    assert (told[1].token.text, told[1].data) == ("a", '{"text":"a","mood":"good"}')
    assert (told[2].other.name, told[2].other.data) == ("note", '{"n":1}')
    assert (told[3].token.text, told[3].HasField("data")) == ("hello", False)
    assert told[4].done.finish_reason == "stop"


# --- health ---------------------------------------------------------------------------------------


async def test_health_follows_readiness(gateway: Gateway, opened: grpc.aio.Channel) -> None:
    """Of the whole and of each service; whoever watches is told when the worker leaves."""
    stub = health_pb2_grpc.HealthStub(opened)
    for service in ("", "knowledge.gateway.v1.QueryService"):
        found = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert found.status == health_pb2.HealthCheckResponse.SERVING
    watching = stub.Watch(health_pb2.HealthCheckRequest(service=""))
    async with asyncio.timeout(TIMEOUT_S):
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        await gateway.drain()
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watching.cancel()


# --- TLS ------------------------------------------------------------------------------------------


async def certificate(gateway: Gateway, trust: ssl.SSLContext) -> bytes:
    """What the listener shows to a new connection."""
    _, writer = await asyncio.open_connection(
        gateway.address[0], gateway.grpc_port, ssl=trust, server_hostname="127.0.0.1"
    )
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.transport.abort()
    return shown


async def greets(gateway: Gateway, trust: grpc.ChannelCredentials) -> bool:
    """Whether a client of these files is let in at all."""
    async with channel(gateway, trust=trust) as opened, asyncio.timeout(TIMEOUT_S):
        refused = await failure(call(opened, "AuthService/Me", {}))
        assert (refused.code is None) == (refused.status == grpc.StatusCode.UNAVAILABLE)
        return refused.code == "UNAUTHENTICATED"


def trusting(authority: Authority, pair: Pair | None = None) -> grpc.ChannelCredentials:
    if pair is None:
        return grpc.ssl_channel_credentials(authority.ca.read_bytes())
    key, chain = pair.key.read_bytes(), pair.cert.read_bytes()
    return grpc.ssl_channel_credentials(authority.ca.read_bytes(), key, chain)


async def test_the_listener_has_the_certificate_of_https(core: StubCore, tmp_path: Path) -> None:
    """And asks clients for theirs; a renewed one is shown to the next connection."""
    authority, other = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    pair, mine, theirs = authority.issue("gateway"), authority.issue(), other.issue()
    files = https(pair, TLS_CLIENT_CA_FILE=str(authority.ca))
    trust = client(authority, mine)
    trust.set_alpn_protocols(["h2"])
    async with running_gateway(core, trust=trust, **all_open(), **files) as gateway:
        assert await greets(gateway, trusting(authority, mine))
        for stranger in (trusting(authority), trusting(authority, theirs), trusting(other, mine)):
            assert not await greets(gateway, stranger)
        before = await certificate(gateway, trust)
        assert await certificate(gateway, trust) == before
        authority.issue("gateway")
        assert await certificate(gateway, trust) != before
        (tmp_path / "ours" / "gateway.crt").write_text("nonsense", "utf-8")
        assert await greets(gateway, trusting(authority, mine)), "the last good one stays"
