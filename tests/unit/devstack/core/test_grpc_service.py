"""The reference core over gRPC beside itself over REST, each asked by the gateway's adapter."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from aiohttp.test_utils import TestServer
from grpc_health.v1 import health_pb2

from devstack.core.answering.extract import Token
from devstack.core.errors import ModelTimeout, ModelUnavailable
from devstack.core.grpc_service import serving_grpc
from devstack.core.http_service import HttpService
from devstack.core.query import ExtractiveWriter, Writer
from devstack.core.service import Service
from gateway.errors import CoreUnavailable, GatewayError, NotFound, ValidationFailed
from gateway.ports import OnBehalfOf
from tests.contract.played_core import REST
from tests.contract.played_grpc import GRPC
from tests.contract.test_core import ask
from tests.unit.devstack.core.conftest import ALICE, BOB, State, uuid7

# What the adapters of the contract's tests present.
TOKEN = "s3cret"
WHO = OnBehalfOf(ALICE.subject, ALICE.tenant, frozenset({"editor"}), "req-1")
OTHER = OnBehalfOf(BOB.subject, BOB.tenant, frozenset({"editor"}), "req-2")
TEA = "Green tea is steeped for three minutes. Black tea takes five."


@contextlib.asynccontextmanager
async def serving(
    state: State, writer: Writer | None = None, token: str = TOKEN
) -> AsyncIterator[tuple[Any, Any, str]]:
    """One service over both protocols: a client of each, and the address of gRPC."""
    service = Service(state.registry, state.reader, state.builder, writer or ExtractiveWriter())
    async with (
        TestServer(HttpService(token, service).app()) as server,
        serving_grpc(token, service, "127.0.0.1", 0, 0.1) as port,
        REST.client([str(server.make_url("")).rstrip("/")]) as (rest, _),
        GRPC.client([f"grpc://127.0.0.1:{port}"]) as (over_grpc, _),
    ):
        yield rest, over_grpc, f"127.0.0.1:{port}"


async def test_an_answer_is_the_same_bytes_over_both(state: State) -> None:
    """All of it but the id that each answer has of its own."""
    state.add(ALICE, "Nothing of interest.", TEA, filename="tea.pdf")
    async with serving(state) as (rest, over_grpc, _):
        (one, *ends), (other, *same) = [await ask(client, who=WHO) for client in (rest, over_grpc)]
    assert ends == same == ["done", None]
    own = re.compile(rb'"query_id":"[^"]+"')
    assert own.sub(b"", one) == own.sub(b"", other)
    assert one.count(b"event: ") > 6


async def test_documents_searches_and_revisions_are_the_same_over_both(state: State) -> None:
    """Record for record; a deletion over one is seen over the other."""
    ids = [state.add(ALICE, TEA, filename=f"tea-{n}.txt") for n in range(3)]
    async with serving(state) as (rest, over_grpc, _):
        for call in (
            lambda client: client.list_documents(WHO, limit=2, cursor=None),
            lambda client: client.list_documents(WHO, limit=2, cursor=max(ids)),
            lambda client: client.get_document(WHO, ids[0]),
            lambda client: client.search(WHO, {"query": "green tea", "top_k": 2}),
            lambda client: client.search(WHO, {"query": "green tea", "document_ids": []}),
            lambda client: client.revision(WHO),
        ):
            assert await call(rest) == await call(over_grpc)
        before = await rest.revision(WHO)
        await over_grpc.delete_document(WHO, ids[0])
        assert await rest.get_document(WHO, ids[0]) is None
        assert await over_grpc.get_document(WHO, ids[0]) is None
        assert await over_grpc.get_document(OTHER, ids[1]) is None
        # The index is built again behind the answer, which is a revision of its own.
        await asyncio.to_thread(state.builder.refresh, ALICE)
        assert await over_grpc.revision(WHO) == await rest.revision(WHO) != before
        await over_grpc.check()


BAD_QUESTIONS: list[dict[str, Any]] = [
    {"query": " "},
    {"query": "x" * 8193},
    {"query": "tea", "top_k": 51},
    {"query": "tea", "conversation_id": "a b"},
    {"query": "tea", "messages": [{"role": "user", "content": "x" * 65537}]},
]


@pytest.mark.parametrize("body", BAD_QUESTIONS, ids=lambda body: str(body)[:40])
async def test_a_question_that_is_refused_over_one_is_over_the_other(
    state: State, body: dict[str, Any]
) -> None:
    async with serving(state) as (*clients, _):
        for client in clients:
            with pytest.raises(ValidationFailed):
                await client.open_query(WHO, body)


async def test_who_has_no_name_or_another_token_is_refused(state: State) -> None:
    """Over both; a probe without a token is answered, one with a wrong one is not."""
    nobody = OnBehalfOf("../bob", "acme", frozenset(), "r")
    async with serving(state) as (*clients, address):
        for client in clients:
            with pytest.raises(GatewayError):
                await client.get_document(nobody, uuid7())
        async with grpc.aio.insecure_channel(address) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            said = health_pb2.HealthCheckResponse.FromString(await check(b""))
            assert said.status == health_pb2.HealthCheckResponse.SERVING
    async with serving(state, token="another") as (*clients, _):
        for client in clients:
            for call in (client.get_document(WHO, uuid7()), client.check()):
                with pytest.raises(CoreUnavailable):
                    await call


class Faulty:
    """A writer that fails, at once or in the middle."""

    model = "faulty"

    def __init__(self, fault: Exception, at_once: bool) -> None:
        self._fault = fault
        self._at_once = at_once

    async def write(self, *_: Any) -> AsyncIterator[Token]:
        if not self._at_once:
            yield Token("Three ")
        raise self._fault


@pytest.mark.parametrize(("fault", "code"), [
    (ModelTimeout(), "CORE_TIMEOUT"),
    (ModelUnavailable(), "CORE_UNAVAILABLE"),
    (RuntimeError("secret"), "CORE_PROTOCOL_ERROR"),
])  # fmt: skip
async def test_an_answer_that_fails_in_the_middle_ends_the_same_way(
    state: State, fault: Exception, code: str
) -> None:
    """With an error event whose code the gateway passes on, if a core may say it."""
    state.add(ALICE, TEA)
    async with serving(state, Faulty(fault, at_once=False)) as (*clients, _):  # type: ignore[arg-type]
        told = [await ask(client, who=WHO) for client in clients]
    assert [one[1:] for one in told] == [("core_error", code)] * 2
    assert b"secret" not in told[1][0]


async def test_what_is_not_there_is_not_found(state: State) -> None:
    """A search or a record; a status with the code, as REST's body has it."""
    async with serving(state) as (_, over_grpc, address):
        async with grpc.aio.insecure_channel(address) as channel:
            get = channel.unary_unary("/knowledge.core.v1.CoreService/GetDocument")
            metadata = over_grpc._metadata(WHO)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await get(b"", metadata=tuple(metadata.items()))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        details = dict(caught.value.trailing_metadata() or ())
        assert NotFound.code.encode() in bytes(details["grpc-status-details-bin"])
