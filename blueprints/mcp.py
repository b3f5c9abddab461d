"""The knowledge base as tools for agents, by the Model Context Protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from blueprints.documents import Page, ref_of
from blueprints.query import Uuid7
from blueprints.search import SearchRequest
from gateway.domain.actions import MCP
from gateway.edge.context import context_of
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.mcp.answers import AnswerStream, answer_text
from gateway.edge.mcp.door import MESSAGE_LIMIT_BYTES, Agents, Toolbox
from gateway.edge.mcp.messages import RpcMessage
from gateway.edge.mcp.tools import Call, Tool
from gateway.errors import Draining, StorageUnavailable
from gateway.flows.answer_stream import Query
from gateway.flows.documents import Document, DocumentPage, Documents
from gateway.flows.json_answer import QueryAnswer, collect
from gateway.flows.recheck import Recheck
from gateway.flows.search import Found, Search

blueprint = Blueprint("mcp", url_prefix="/mcp")


class AskArguments(SearchRequest, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A question, and where to look for its answer."""

    conversation_id: Uuid7 | msgspec.UnsetType = msgspec.UNSET


class DocumentArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which document."""

    document_id: Uuid7


class RpcAnswer(msgspec.Struct, frozen=True):
    """JSON-RPC's answer to a request; see ``docs/mcp.md`` for what is in ``result``."""

    jsonrpc: str
    id: str | int
    result: dict[str, Any]


class RpcEvent(msgspec.Struct, frozen=True):
    """A message of an event stream; ``data`` is JSON, in the last one an ``RpcAnswer``."""

    event: Literal["message"]
    data: str


class RpcError(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with a message."""

    code: int
    message: str
    data: Any = None


class RpcFailure(msgspec.Struct, frozen=True):
    """JSON-RPC's refusal of a message; ``id`` is null where none could be read."""

    jsonrpc: str
    id: str | int | None
    error: RpcError


@dataclass(frozen=True, slots=True)
class Flows:
    """What the tools run on."""

    query: Query
    streams: OpenStreams
    recheck: Recheck
    search: Search
    documents: Documents


async def _ask(call: Call, flows: Flows) -> QueryAnswer | None:
    scope, streams = call.scope, flows.streams
    scope.upstream = "core"
    body = call.arguments.for_core()
    expires_at = scope.caller.expires_at
    limit_bytes = context_of(call.request.app).answer_limit_bytes
    answer = flows.query.open(scope.on_behalf_of(), body, token_expires_at=expires_at)
    grant = scope.give_grant(flows.recheck.retain)
    with streams.under_way(call.request, answer), flows.recheck.watching(grant, answer):
        async with answer:
            if not call.streams:
                return await collect(answer, streams.ticker, limit_bytes=limit_bytes)
            await streams.relay(call.request, answer, AnswerStream(call, limit_bytes))
            return None


async def _search(call: Call, flows: Flows) -> Found:
    call.scope.upstream = "core"
    return await flows.search.find(call.scope.on_behalf_of(), call.arguments.for_core())


async def _list(call: Call, flows: Flows) -> DocumentPage:
    page, scope = call.arguments, call.scope
    return await flows.documents.list(
        scope.on_behalf_of(), scope.deadline, limit=page.limit, cursor=page.cursor
    )


async def _get(call: Call, flows: Flows) -> Document:
    scope = call.scope
    ref = ref_of(scope, call.arguments.document_id)
    return await flows.documents.get(scope.on_behalf_of(), ref, scope.deadline)


_NARROWED = {
    "top_k": "How many passages to use at most; the knowledge base chooses where it is left out.",
    "document_ids": "Ids of documents, as list_documents gives them, to look in these alone.",
}
TOOLS = Toolbox(
    (
        Tool(
            name="ask",
            title="Ask the knowledge base",
            description=(
                "Answers a question from the documents that the user has put into the knowledge"
                " base, and says which passages the answer is from. It may take a minute."
            ),
            method="POST",
            path="/query",
            arguments=AskArguments,
            output=QueryAnswer,
            run=_ask,
            text=answer_text,
            hints={
                "query": "The question, as one would ask a person.",
                "conversation_id": "The same id with each question of a conversation: a UUIDv7.",
                **_NARROWED,
            },
        ),
        Tool(
            name="search",
            title="Search the knowledge base",
            description=(
                "Finds the passages of the user's documents that fit best, without an answer."
                " Use it to read what the documents say themselves."
            ),
            method="POST",
            path="/search",
            arguments=SearchRequest,
            output=Found,
            run=_search,
            hints={"query": "What to look for: words or a sentence.", **_NARROWED},
        ),
        Tool(
            name="list_documents",
            title="List documents",
            description=(
                "Lists the user's documents, newest first, with their names and ids and whether"
                " they can be searched yet (status: indexed)."
            ),
            method="GET",
            path="/documents",
            arguments=Page,
            output=DocumentPage,
            run=_list,
            hints={
                "limit": "How many at most.",
                "cursor": "next_cursor of the page before, to go on from there.",
            },
        ),
        Tool(
            name="get_document",
            title="Look up one document",
            description=(
                "Tells a document's name, type, size, times and status, and what of it could not be"
                " read. It does not give the document's text: use search for that."
            ),
            method="GET",
            path="/documents/{0.document_id}",
            arguments=DocumentArguments,
            output=Document,
            run=_get,
            hints={"document_id": "The id, as list_documents or a passage has it."},
        ),
    ),
    instructions=(
        "The knowledge base holds the user's own documents. Use ask for a question to be answered"
        " from them, search for the passages themselves, list_documents to see what there is. A"
        " failure names its code and what to do; retry_after_s is in seconds."
    ),
)


@route(
    blueprint,
    "POST",
    "",
    action=None,
    public_action=MCP,
    name="mcp",
    kind="messages",
    door="mcp",
    summary="Tools for agents, by the Model Context Protocol",
    body=RpcMessage,
    body_limit_bytes=MESSAGE_LIMIT_BYTES,
    successes=(
        Success(200, "The request's result; a tool's failure is one, too.", RpcAnswer),
        Success(
            200,
            "The same as the last of an event stream's messages, where a tool takes its time.",
            RpcEvent,
            content_type="text/event-stream",
        ),
        Success(202, "A notification was taken."),
        Success(400, "The message is refused.", RpcFailure),
        Success(404, "There is no such method.", RpcFailure),
    ),
    errors=(StorageUnavailable, Draining),
)
async def serve(
    request: Request,
    agents: Agents,
    query: Query,
    streams: OpenStreams,
    recheck: Recheck,
    finder: Search,
    documents: Documents,
) -> HTTPResponse | None:
    flows = Flows(query, streams, recheck, finder, documents)
    return await agents.serve(request, TOOLS, flows)
