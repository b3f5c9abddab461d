"""Asking as OpenAI's clients do: chat completions, and the one model that there is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from blueprints.query import ANSWER_ERRORS, Uuid7
from gateway.edge.http.cache_fields import add_cache_status, cache_control
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.http.render import json_response
from gateway.edge.openai.completion import MODEL, ChatCompletion, ChatEvent
from gateway.edge.openai.door import ChatDoor, Wish
from gateway.edge.openai.messages import Message, asked
from gateway.edge.scope import scope_of
from gateway.errors import NotFound, ValidationFailed
from gateway.flows.answer_stream import Query
from gateway.flows.recheck import Recheck

blueprint = Blueprint("openai", url_prefix="/openai/v1")

# Room for what a core is told, for the question, and for what clients send along unasked.
BODY_LIMIT_BYTES = 256 * 1024

NoList = Annotated[list[Any], Meta(max_length=0)] | None
Text = Annotated[str, Meta(max_length=1024)] | None


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``include_usage``: the stream ends with what the core counted."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class TextFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The only form that an answer has."""

    type: Literal["text"]


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A conversation; its last message of a user is the question.

    ``footnotes``, ``top_k``, ``document_ids`` and ``conversation_id`` are no fields of OpenAI's.
    What a knowledge base cannot do is refused; how a model should draw its words is ignored.
    """

    model: str
    messages: Annotated[list[Message], Meta(min_length=1, max_length=2000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    footnotes: bool | None = None
    top_k: Annotated[int, Meta(ge=1, le=50)] | None = None
    document_ids: Annotated[list[Uuid7], Meta(max_length=100)] | None = None
    conversation_id: Uuid7 | None = None

    # Refused unless they say what is so anyway.
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    tools: NoList = None
    functions: NoList = None
    tool_choice: Literal["none", "auto"] | None = None
    function_call: Literal["none", "auto"] | None = None
    response_format: TextFormat | None = None
    modalities: Annotated[list[Literal["text"]], Meta(max_length=1)] | None = None
    audio: None = None
    prediction: None = None
    web_search_options: None = None
    moderation: None = None
    stop: NoList = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=0)] | None = None

    # Ignored.
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Annotated[dict[str, float], Meta(max_length=1024)] | None = None
    seed: float | None = None
    max_tokens: float | None = None
    max_completion_tokens: float | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Text = None
    verbosity: Text = None
    store: bool | None = None
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None
    user: Text = None
    safety_identifier: Text = None
    prompt_cache_key: Text = None
    prompt_cache_retention: Text = None
    service_tier: Text = None

    @property
    def wish(self) -> Wish:
        options = self.stream_options
        return Wish(self.footnotes, options is not None and bool(options.include_usage))

    def for_core(self) -> dict[str, Any]:
        """The core's body: the question, what was said before, and what narrows the search.

        Raises:
            NotFound: another model.
            ValidationFailed: there is no question, or something is wanted that there is not.
        """
        if self.model != MODEL:
            raise NotFound(
                f"There is one model here, {MODEL}.",
                details={"fields": {"model": f"is not {MODEL}"}},
            )
        if self.logprobs:
            raise ValidationFailed(fields={"logprobs": "expected false: there are none"})
        question, earlier = asked(self.messages)
        body: dict[str, Any] = {"query": question}
        if earlier:
            body["messages"] = earlier
        for name in ("top_k", "document_ids", "conversation_id"):
            value = getattr(self, name)
            if value is not None:
                body[name] = value
        return body


class Model(msgspec.Struct, frozen=True):
    """A model, as OpenAI describes one; ``created`` is in Unix seconds."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(msgspec.Struct, frozen=True):
    """All there are."""

    object: Literal["list"]
    data: list[Model]


@route(
    blueprint,
    "POST",
    "/chat/completions",
    action="query:run",
    name="chat_completions",
    kind="stream",
    door="openai",
    summary="Ask as OpenAI's clients do",
    body=ChatRequest,
    body_limit_bytes=BODY_LIMIT_BYTES,
    # Its type has no way to say so.
    narrowed=lambda _: {"logprobs": {"const": False}},
    successes=(
        Success(200, "The answer.", ChatCompletion),
        Success(
            200,
            "With `stream` the answer's chunks, as `text/event-stream; charset=utf-8`.",
            ChatEvent,
            content_type="text/event-stream",
        ),
    ),
    errors=ANSWER_ERRORS,
)
async def complete(
    request: Request,
    query: Query,
    streams: OpenStreams,
    recheck: Recheck,
    door: ChatDoor,
    body: ChatRequest,
) -> HTTPResponse | None:
    streamed, wish, for_core = bool(body.stream), body.wish, body.for_core()
    scope = scope_of(request)
    scope.upstream = "core"
    expires_at = scope.caller.expires_at
    asked_of = "" if query.answers is None else cache_control(request)
    answer = query.open(
        scope.on_behalf_of(), for_core, token_expires_at=expires_at, cache_control=asked_of
    )
    del body, for_core  # they are not kept while the stream runs
    grant = scope.give_grant(recheck.retain)
    with streams.under_way(request, answer), recheck.watching(grant, answer):
        async with answer:
            if streamed:
                await door.stream(request, streams, answer, wish)
                return None
            found = await door.whole(request, streams, answer, wish)
            response = json_response(msgspec.to_builtins(found))
            add_cache_status(response, answer)
            return response


@route(
    blueprint,
    "GET",
    "/models",
    action="query:run",
    name="models",
    door="openai",
    summary="The one model that OpenAI's clients can name",
    successes=(Success(200, "The list of one.", Models),),
)
async def models(request: Request) -> HTTPResponse:
    model = Model(MODEL, "model", 0, "knowledge-base-gateway")
    return json_response(msgspec.to_builtins(Models("list", [model])))
