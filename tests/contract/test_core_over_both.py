"""What both adapters of the core promise: calls, documents, searches, revisions, refusals.

Each test runs over REST and over gRPC, with the real server of each on a real socket. What is of
HTTP alone (heads, framings, JSON) stands in ``test_core``, of gRPC alone in ``test_core_grpc``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any

import pytest

from gateway.domain.balancing import Balancer
from gateway.domain.core_records import Passage
from gateway.domain.documents import CoreDocument
from gateway.domain.sse import CONNECTED
from gateway.errors import (
    CoreLacks,
    CoreProtocolError,
    CoreTimeout,
    CoreUnavailable,
    GatewayError,
    NotFound,
    Overloaded,
    ValidationFailed,
)
from gateway.ports import OnBehalfOf
from tests.unit.http_client.scripted import until

from .played_core import REST, Call, Protocol, sse
from .played_grpc import GRPC
from .test_core import ID, LATER, RECORD, TRACE, WHO, ask, times

TOKEN = ("token", {"text": "Three minutes: ünïcode \u2028"})
DONE = ("done", {"finish_reason": "stop"})
PAGE = {"documents": [], "next_cursor": None}
PASSAGE: dict[str, Any] = {
    "document_id": ID,
    "filename": "a.pdf",
    "chunk_id": f"{ID}:0",
    "score": 2.5,
    "text": "Tea.",
    "page": 3,
    "section": ["Drinks", "Hot"],
}


@pytest.fixture(params=[REST, GRPC], ids=lambda one: one.name)
def over(request: pytest.FixtureRequest) -> Protocol:
    protocol: Protocol = request.param
    return protocol


async def answers(call: Call) -> None:
    """A good core, whatever it is asked."""
    if call.asked.call == "query":
        await call.head()
        await call.send(TOKEN)
        await call.send(DONE)
        return
    whole: dict[str, dict[str, Any]] = {
        "search": {"passages": [PASSAGE]},
        "revision": {"revision": "9f.12"},
        "list": {"documents": [RECORD], "next_cursor": call.asked.body.get("cursor")},
        "get": RECORD,
    }
    await call.reply(whole.get(call.asked.call, {}))


# --- what travels -------------------------------------------------------------------------------


async def test_a_question_travels_as_the_contract_says(over: Protocol) -> None:
    """Identity, token, request id and trace beside it, all of its fields in it."""
    body = {
        "query": "why?",
        "top_k": 3,
        "document_ids": [ID],
        "conversation_id": LATER,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Tea?"},
            {"role": "assistant", "content": "Yes."},
        ],
    }
    async with over.playing(answers) as core, over.client([core.url]) as (client, _):
        for sent in (body, {"query": "why?"}, {"query": "why?", "document_ids": []}):
            stream = await client.open_query(WHO, sent)
            await stream.aclose()
            assert core.asked[-1].body == sent
    metadata = core.asked[0].metadata
    expected = {
        "authorization": "Bearer s3cret",
        "x-kb-subject": "ann",
        "x-kb-tenant": "acme",
        "x-kb-roles": "editor,reader",
        "x-request-id": "req-1",
        "traceparent": TRACE,
    }
    assert {name: metadata.get(name) for name in expected} == expected
    assert "x-kb-actor" not in metadata


EVENTS = [
    ("meta", {"query_id": "q"}),
    ("sources", [PASSAGE]),
    TOKEN,
    ("token", {"text": "x" * 70_000}),
    ("", {"no": "name"}),
    ("named.by-core", b"[1,\n 2]"),
    ("token", {"text": "with an id"}, "17"),
    ("usage", {"prompt_tokens": 1, "completion_tokens": 2}),
    DONE,
]


@pytest.mark.parametrize("together", [False, True])
async def test_a_client_gets_the_same_bytes_over_both(over: Protocol, together: bool) -> None:
    """Event for event what a REST core sends, in one piece or in several; and it ends well."""

    async def script(call: Call) -> None:
        await call.head()
        for events in [EVENTS] if together else [[one] for one in EVENTS]:
            await call.send(*events)

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        data, word, code = await ask(client)
    assert (data, word, code) == (CONNECTED + b"".join(map(sse, EVENTS)), "done", None)


async def test_documents_are_listed_read_and_deleted(over: Protocol) -> None:
    """An admin travels beside the owner; a health check has no owner."""
    who = OnBehalfOf("ann", "acme", frozenset({"admin"}), "r", actor="root")
    async with over.playing(answers) as core, over.client([core.url]) as (client, _):
        page = await client.list_documents(who, limit=5, cursor=LATER)
        assert (page.documents, page.more) == ([CoreDocument(**RECORD)], True)
        assert not (await client.list_documents(who, limit=5, cursor=None)).more
        assert await client.get_document(who, ID) == CoreDocument(**RECORD)
        await client.delete_document(who, ID)
        await client.check()
    assert core.calls == ["list", "list", "get", "delete", "health"]
    bodies = [one.body for one in core.asked[:4]]
    one = {"document_id": ID}
    assert bodies == [{"limit": 5, "cursor": LATER}, {"limit": 5}, one, one]
    assert [asked.metadata.get("x-kb-actor") for asked in core.asked] == ["root"] * 4 + [None]
    assert "x-kb-subject" not in core.asked[4].metadata


async def test_a_record_may_say_less(over: Protocol) -> None:
    """What is optional in a record is not invented."""
    bare = {**RECORD, "sha256": None, "warnings": (), "error": "It is broken."}

    async def script(call: Call) -> None:
        await call.reply(bare)

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        assert await client.get_document(WHO, ID) == CoreDocument(**bare)


async def test_a_search_travels_as_the_contract_says(over: Protocol) -> None:
    """In the owner's name; the passages come as they are."""
    body = {"query": "tea", "top_k": 3, "document_ids": [ID]}
    async with over.playing(answers) as core, over.client([core.url]) as (client, _):
        assert await client.search(WHO, body) == [Passage(**PASSAGE)]
        assert await client.revision(WHO) == "9f.12"
    assert core.asked[0].body == body
    assert {one.metadata["x-kb-subject"] for one in core.asked} == {"ann"}


async def test_an_id_that_is_none_never_reaches_the_core(over: Protocol) -> None:
    async with over.playing(answers) as core, over.client([core.url]) as (client, _):
        for call in (client.get_document, client.delete_document):
            with pytest.raises(ValueError, match="checked"):
                await call(WHO, "../keys")
    assert core.asked == []


class Listening:
    """Implements ``domain.corpus_revision.Told``."""

    def __init__(self) -> None:
        self.heard: list[tuple[str | None, float]] = []
        self._times: Iterator[float] = map(float, range(1, 99))

    def now(self) -> float:
        return next(self._times)

    def told(self, tenant: str, subject: str, revision: str | None, sent_at: float) -> None:
        self.heard.append((revision, sent_at))


async def test_what_every_head_names_is_overheard(over: Protocol) -> None:
    """With the time at which the call was sent; for a deletion, at which it was answered."""
    revisions = iter(["1", "2", "3", "not one", None])

    async def script(call: Call) -> None:
        revision = next(revisions)
        if call.asked.call == "query":
            await call.head(str(revision))
            await call.send(DONE)
        else:
            await call.reply(RECORD, revision)

    listening = Listening()
    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        client.tell(listening)
        stream = await client.open_query(WHO, {"query": "why?"})
        assert stream.revision == "1"
        await stream.aclose()
        await client.get_document(WHO, ID)
        await client.delete_document(WHO, ID)
        await client.get_document(WHO, ID)
        await client.get_document(WHO, ID)
    assert listening.heard == [("1", 1.0), ("2", 2.0), ("3", 4.0)]


# --- a core that says no ------------------------------------------------------------------------

REFUSALS: list[tuple[int, str | None, int | None, type[GatewayError]]] = [
    (400, "VALIDATION_ERROR", None, ValidationFailed),
    (400, "OTHER", None, CoreProtocolError),
    (401, "UNAUTHENTICATED", None, CoreUnavailable),
    (403, None, None, CoreUnavailable),
    (409, None, None, CoreProtocolError),
    (429, "OVERLOADED", None, Overloaded),
    (429, None, 7, Overloaded),
    (503, "OVERLOADED", 7, Overloaded),
    (503, None, 7, Overloaded),
    (500, "INTERNAL", None, CoreUnavailable),
    (500, None, None, CoreUnavailable),
    (502, "CORE_UNAVAILABLE", None, CoreUnavailable),
    (504, "CORE_TIMEOUT", None, CoreUnavailable),
]
QUESTION = [(404, "NOT_FOUND", None, NotFound), (404, "OTHER", None, CoreProtocolError)]
Ask = Callable[[Any], Awaitable[Any]]


def refusing(status: int, code: str | None, retry_after_s: int | None) -> Any:
    async def script(call: Call) -> None:
        await call.refuse(status, code, retry_after_s)

    return script


@pytest.mark.parametrize(("status", "code", "after_s", "kind"), [*REFUSALS, *QUESTION])
async def test_a_refused_question_has_its_true_status(
    over: Protocol, status: int, code: str | None, after_s: int | None, kind: type[GatewayError]
) -> None:
    """Nothing the core wrote is in it; a question is asked once, as the core may have begun."""
    async with (
        over.playing(refusing(status, code, after_s)) as core,
        over.client([core.url]) as (client, _),
    ):
        await refused(kind, client.open_query(WHO, {"query": "why?"}), after_s)
    assert core.calls == ["query"]


@pytest.mark.parametrize(("status", "code", "after_s", "kind"), REFUSALS)
async def test_other_refused_calls_have_their_true_status(
    over: Protocol, status: int, code: str | None, after_s: int | None, kind: type[GatewayError]
) -> None:
    """The same table for documents and searches."""
    async with (
        over.playing(refusing(status, code, after_s)) as core,
        over.client([core.url]) as (client, _),
    ):
        await refused(kind, client.get_document(WHO, ID), after_s)
        await refused(kind, client.search(WHO, {"query": "tea"}), after_s)
        await refused(kind, client.list_documents(WHO, limit=1, cursor=None), after_s)


async def refused(kind: type[GatewayError], call: Awaitable[Any], after_s: int | None) -> None:
    with pytest.raises(GatewayError) as caught:
        await call
    assert type(caught.value) is kind
    assert "secret" not in repr((caught.value.message, caught.value.details))
    if kind is Overloaded:
        assert caught.value.retry_after_s == (after_s or 1)


async def test_a_document_that_is_not_there_is_none_and_deleted(over: Protocol) -> None:
    async with (
        over.playing(refusing(404, "NOT_FOUND", None)) as core,
        over.client([core.url]) as (client, _),
    ):
        assert await client.get_document(WHO, ID) is None
        await client.delete_document(WHO, ID)


@pytest.mark.parametrize("code", [None, "NOT_IMPLEMENTED"])
async def test_a_core_without_a_call_is_told_apart(over: Protocol, code: str | None) -> None:
    """It is no fault of the address: that is not ejected."""
    async with (
        over.playing(refusing(501, code, None)) as core,
        over.client([core.url]) as (client, _),
    ):
        for _ in range(5):
            with pytest.raises(CoreLacks):
                await client.search(WHO, {"query": "tea"})
            with pytest.raises(CoreLacks):
                await client.revision(WHO)


async def test_a_core_that_refuses_the_token_is_told_to_the_operator(over: Protocol) -> None:
    """``gateway check --connect`` names the setting."""
    async with (
        over.playing(refusing(401, "UNAUTHENTICATED", None)) as core,
        over.client([core.url]) as (client, _),
    ):
        with pytest.raises(CoreUnavailable) as caught:
            await client.check()
    assert "GATEWAY_CORE_TOKEN" in str(caught.value.__cause__)


# --- a core that talks nonsense -----------------------------------------------------------------

WRONG_RECORDS: list[dict[str, Any]] = [
    {"document_id": "../x"},
    {"document_id": ID[:-1] + "2"},
    {"size": -1},
    {"sha256": "0" * 63},
    {"created_at": "yesterday"},
    {"status": "odd"},
    {"version_id": "a b"},
]


@pytest.mark.parametrize("wrong", WRONG_RECORDS, ids=str)
async def test_a_record_that_cannot_be_is_the_cores_fault(
    over: Protocol, wrong: dict[str, Any]
) -> None:
    async def script(call: Call) -> None:
        await call.reply(RECORD | wrong)

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        with pytest.raises(CoreProtocolError):
            await client.get_document(WHO, ID)


async def test_a_page_that_is_none_is_the_cores_fault(over: Protocol) -> None:
    """More records than were asked for, twice the same, and what is not below the cursor."""
    many = [RECORD | {"document_id": f"{ID[:-4]}{n:04}"} for n in range(500, 0, -1)]
    for records, cursor in ((many, None), ([RECORD, RECORD], None), ([RECORD], ID)):

        async def script(call: Call, records: Any = records) -> None:
            await call.reply({"documents": records, "next_cursor": ID})

        async with over.playing(script) as core, over.client([core.url]) as (client, _):
            with pytest.raises(CoreProtocolError):
                await client.list_documents(WHO, limit=100, cursor=cursor)


WRONG_PASSAGES: dict[str, list[dict[str, Any]]] = {
    "a document that is none": [PASSAGE | {"document_id": "../x"}],
    "a document that was not asked for": [PASSAGE | {"document_id": LATER}],
    "more than asked for": [PASSAGE] * 3,
    "page nought": [PASSAGE | {"page": 0}],
    "more than is read": [PASSAGE | {"text": "x" * 5000}],
}


@pytest.mark.parametrize("case", WRONG_PASSAGES)
async def test_passages_that_cannot_be_are_the_cores_fault(over: Protocol, case: str) -> None:
    """Nothing of them is shown."""

    async def script(call: Call) -> None:
        await call.reply({"passages": WRONG_PASSAGES[case]})

    body = {"query": "tea", "top_k": 2, "document_ids": [ID]}
    async with (
        over.playing(script) as core,
        over.client([core.url], body_limit_bytes=4096) as (client, _),
    ):
        with pytest.raises(CoreProtocolError):
            await client.search(WHO, body)


@pytest.mark.parametrize("text", ["", "a b", "a" * 129])
async def test_nonsense_is_no_revision(over: Protocol, text: str) -> None:
    async def script(call: Call) -> None:
        await call.reply({"revision": text})

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        assert await client.revision(WHO) is None


# --- a core that says nothing -------------------------------------------------------------------


async def keeps_silent(call: Call) -> None:
    await call.left()


async def test_a_silent_core_is_a_timeout_within_the_calls_bound(over: Protocol) -> None:
    """And it sees that nobody waits any more."""
    short = times(call_s=0.3, head_s=0.3, check_s=0.3, connect_s=30)
    async with (
        over.playing(keeps_silent) as core,
        over.client([core.url], timeouts=short) as (client, _),
    ):
        for call in (
            client.get_document(WHO, ID),
            client.search(WHO, {"query": "tea"}),
            client.open_query(WHO, {"query": "why?"}),
            client.check(),
        ):
            with pytest.raises(CoreTimeout):
                await call
        await until(lambda: core.under_way == 0)


async def test_a_full_pool_is_overloaded(over: Protocol) -> None:
    """The gateway's own limit, told as such."""

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await call.left()

    options = {"limit": 1, "timeouts": times(pool_s=0.05, connect_s=30)}
    async with over.playing(script) as core, over.client([core.url], **options) as (client, _):
        held = await client.open_query(WHO, {"query": "why?"})
        with pytest.raises(Overloaded):
            await client.open_query(WHO, {"query": "why?"})
        await held.aclose()
        await held.aclose()
        await (await client.open_query(WHO, {"query": "why?"})).aclose()


async def test_a_core_that_was_not_found_is_unavailable(over: Protocol) -> None:
    """At once, for calls and for the health check."""
    async with over.client(Balancer(Random(1))) as (client, _):
        for call in (client.get_document(WHO, ID), client.check()):
            with pytest.raises(CoreUnavailable) as caught:
                await call
            assert "no address" in str(caught.value.__cause__)


async def test_a_caller_without_roles_has_none_at_the_core(over: Protocol) -> None:
    """An empty value travels as one."""
    nobody = OnBehalfOf("ann", "acme", frozenset(), "r")
    async with over.playing(answers) as core, over.client([core.url]) as (client, _):
        await client.get_document(nobody, ID)
    assert core.asked[0].metadata["x-kb-roles"] == ""
