"""The official ``openai`` client, sync and async, at the door that is for it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from gateway.domain.sse import CONNECTED

from .conftest import Gateway, running_gateway
from .doors import CHAT, chat_question
from .raw import TIMEOUT_S, read_head, request
from .served import Served, served
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_socket_served import output

ID = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
MODEL = "knowledge-base"
PAGE = Path(__file__).parents[2] / "docs" / "openai.md"
CHAT_QUESTION = chat_question("hi")
MESSAGES: Any = CHAT_QUESTION["messages"]
PASSAGE = {
    "document_id": ID,
    "filename": "f.pdf",
    "chunk_id": "c",
    "score": 1.5,
    "text": "hello there",
    "page": 3,
}


def event(name: str, value: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


SOURCES = event("sources", [PASSAGE])
CITATION = event("citation", {"source": 0, "start": 0, "end": 5})
USAGE = event("usage", {"prompt_tokens": 3, "completion_tokens": 1})
WHOLE = META + SOURCES + TOKEN + CITATION + USAGE + DONE
URL = f"/api/v1/documents/{ID}/content#page=3"
ANNOTATION = {
    "type": "url_citation",
    "url_citation": {
        "start_index": 0,
        "end_index": 5,
        "title": "f.pdf",
        "url": URL,
        "text": "hello there",
    },
}
CITED = [{**PASSAGE, "number": 1, "url": URL, "spans": [{"start": 0, "end": 5}]}]

TEXT = {"type": "text", "text": "What"}


@pytest.fixture(params=["written below", "sent"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways a stream can be relayed: below Sanic's ``send``, and through it."""
    if request.param == "sent":
        monkeypatch.setattr("gateway.edge.http.event_streams.can_write_below", lambda _: False)
    return str(request.param)


def base_url(gateway: Gateway) -> str:
    return "http://{}:{}/api/v1/openai/v1".format(*gateway.address)


async def client_of(gateway: Gateway, who: str = "alice", **more: Any) -> AsyncOpenAI:
    # A fault is to be seen, not tried again.
    key = await gateway.token(who)
    return AsyncOpenAI(base_url=base_url(gateway), api_key=key, max_retries=0, **more)


async def ask(gateway: Gateway, **more: Any) -> Any:
    async with await client_of(gateway) as client:
        return await client.chat.completions.create(
            **{"model": MODEL, "messages": MESSAGES, **more}
        )


async def chunks_of(gateway: Gateway, **more: Any) -> list[Any]:
    async with await client_of(gateway) as client:
        stream: Any = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, **more
        )
        return [one async for one in stream]


# --- answers --------------------------------------------------------------------------------------


async def test_a_whole_answer_has_text_citations_and_usage(gateway: Gateway) -> None:
    """As the client's own types have it; what OpenAI does not have stands beside."""
    gateway.core.sends(STREAM_HEAD, chunk(WHOLE), END)
    found = await ask(gateway)
    (choice,) = found.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "hello")
    assert choice.finish_reason == "stop"
    assert [one.to_dict() for one in choice.message.annotations] == [ANNOTATION]
    assert found.model_extra["citations"] == CITED
    assert found.usage.to_dict() == {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "total_tokens": 4,
    }
    assert (found.model, found.object) == (MODEL, "chat.completion")
    assert found.id == f"chatcmpl-{found._request_id}"
    assert found.created == int(gateway.clock.time())


async def test_a_stream_has_the_same_in_chunks(gateway: Gateway, way: str) -> None:
    """The role first, a chunk for each token and citation, the reason with the citations last."""
    gateway.core.sends(STREAM_HEAD, chunk(WHOLE), END)
    found = await chunks_of(gateway)
    role, text, cited, last = (one.choices[0] for one in found)
    assert (role.delta.role, role.delta.content) == ("assistant", "")
    assert text.delta.content == "hello"
    assert cited.delta.model_extra["annotations"] == [{**ANNOTATION, "index": 0}]
    assert [one.finish_reason for one in (role, text, cited, last)] == [None, None, None, "stop"]
    assert found[-1].model_extra["citations"] == CITED
    assert {(one.id, one.object, one.model, one.usage) for one in found} == {
        (found[0].id, "chat.completion.chunk", MODEL, None)
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_footnotes_stand_in_the_text_on_request(gateway: Gateway, stream: bool) -> None:
    """Behind what a passage carries, and each file once at the end."""
    gateway.core.sends(STREAM_HEAD, chunk(WHOLE), END)
    wish: Any = {"extra_body": {"footnotes": True}}
    if stream:
        found = await chunks_of(gateway, **wish)
        text = "".join(one.choices[0].delta.content or "" for one in found)
    else:
        text = (await ask(gateway, **wish)).choices[0].message.content
    assert text == "hello [1]\n\n- [1] `f.pdf`, page 3"


async def test_chat_interfaces_that_send_no_such_field_get_footnotes_by_a_setting(
    core: StubCore,
) -> None:
    """Who says ``false`` gets none."""
    core.sends(STREAM_HEAD, chunk(WHOLE), END)
    async with running_gateway(core, OPENAI_FOOTNOTES="true") as gateway:
        assert "[1]" in (await ask(gateway)).choices[0].message.content
        plain = await ask(gateway, extra_body={"footnotes": False})
        assert plain.choices[0].message.content == "hello"


async def test_usage_is_told_when_it_is_asked_for_and_known(gateway: Gateway) -> None:
    """Null in every chunk, then one without choices; no numbers where the core has none."""
    wish: Any = {"stream_options": {"include_usage": True}}
    gateway.core.sends(STREAM_HEAD, chunk(WHOLE), END)
    *chunks, last = await chunks_of(gateway, **wish)
    assert all("usage" in one.model_fields_set and one.usage is None for one in chunks)
    assert (last.choices, last.usage.total_tokens) == ([], 4)
    gateway.core.sends(STREAM_HEAD, chunk(META + TOKEN + DONE), END)
    found = await chunks_of(gateway, **wish)
    assert [one.usage for one in found] == [None] * 3
    assert (await ask(gateway)).usage is None


async def test_the_clients_own_helper_puts_a_stream_together(gateway: Gateway) -> None:
    """``client.chat.completions.stream``, which adds up deltas by their index."""
    second = event("citation", {"source": 0, "start": 1, "end": 2})
    gateway.core.sends(
        STREAM_HEAD, chunk(META + SOURCES + TOKEN + CITATION + second + USAGE + DONE), END
    )
    async with (
        await client_of(gateway) as client,
        client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream,
    ):
        found = await stream.get_final_completion()
    message: Any = found.choices[0].message
    assert message.content == "hello"
    assert [one.url_citation.end_index for one in message.annotations] == [5, 2]


async def test_the_client_without_asyncio_gets_the_same(gateway: Gateway) -> None:
    """Whole and streamed, by ``OpenAI`` in a thread."""
    gateway.core.sends(STREAM_HEAD, chunk(WHOLE), END)
    key = await gateway.token()

    def asked() -> Iterator[str]:
        with OpenAI(base_url=base_url(gateway), api_key=key, max_retries=0) as client:
            yield str(
                client.chat.completions.create(model=MODEL, messages=MESSAGES)
                .choices[0]
                .message.content
            )
            for one in client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
                yield one.choices[0].delta.content or "-"
            yield next(iter(client.models.list())).id

    found = await asyncio.to_thread(lambda: list(asked()))
    assert found == ["hello", "-", "hello", "-", "-", MODEL]


# --- broken ones ----------------------------------------------------------------------------------

BROKEN: dict[str, tuple[bytes, str]] = {
    "cut": (b"", "CORE_TRUNCATED"),
    "the core's error": (event("error", {"error": {"code": "OVERLOADED"}}), "OVERLOADED"),
    "no passage": (event("citation", {"source": 0, "start": 0, "end": 1}) + DONE, ""),
    "a passage below nothing": (event("citation", {"source": -1, "start": 0, "end": 1}), ""),
    "behind the text": (
        SOURCES + event("citation", {"source": 0, "start": 0, "end": 6}) + DONE,
        "",
    ),
    "before the text": (SOURCES + event("citation", {"source": 0, "start": -1, "end": 1}), ""),
    "from end to start": (SOURCES + event("citation", {"source": 0, "start": 2, "end": 1}), ""),
    "an id that is none": (event("sources", [{**PASSAGE, "document_id": "../x"}]), ""),
    "a page that is none": (event("sources", [{**PASSAGE, "page": 0}]), ""),
    "a token that is none": (event("token", {"text": 5}), ""),
    "usage that is none": (event("usage", {"prompt_tokens": "many"}), ""),
    "more than is kept": (event("sources", [{**PASSAGE, "text": "x" * 5000}] * 2), ""),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_an_answer_that_breaks_off_is_an_error_and_never_done(
    fault: str, core: StubCore, way: str
) -> None:
    """What was told stays; the client raises, and not for a missing end alone."""
    said, code = BROKEN[fault]
    core.sends(STREAM_HEAD, chunk(META + TOKEN + said), END)
    async with running_gateway(core, ANSWER_LIMIT="8KiB") as gateway:
        streaming = await gateway.asking(
            json.dumps({**CHAT_QUESTION, "stream": True}).encode(), path=CHAT
        )
        told = await streaming.rest()
        streaming.writer.close()
        assert b'"content":"hello"' in told
        assert b"[DONE]" not in told
        with pytest.raises(openai.APIError) as raised:
            await chunks_of(gateway)
        error: Any = raised.value
        assert error.code == (code or "CORE_PROTOCOL_ERROR")
        assert error.type == "server_error"
        assert error.body["details"]["request_id"]
        with pytest.raises(openai.InternalServerError) as refused:
            await ask(gateway)
        assert refused.value.code == error.code


@pytest.mark.parametrize("said", [DONE, event("token", {"text": 5}) + DONE])
async def test_a_client_of_http_1_0_is_told_the_same(gateway: Gateway, said: bytes) -> None:
    """Its body ends with the connection: only the last message says whether it is whole."""
    gateway.core.sends(STREAM_HEAD, chunk(META + TOKEN + said), END)
    body = json.dumps({**CHAT_QUESTION, "stream": True}).encode()
    headers = {**await gateway.bearer(), "Content-Type": "application/json"}
    data = request("POST", CHAT, headers, body).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(data)
    async with asyncio.timeout(TIMEOUT_S):
        await read_head(reader)
        told = await reader.read()
    writer.close()
    assert told.startswith(CONNECTED + b'data: {"id":"chatcmpl-')
    assert b'"content":"hello"' in told
    *_, last = told.decode().rstrip("\n").split("\n\n")
    if said == DONE:
        assert last == "data: [DONE]"
    else:
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "CORE_PROTOCOL_ERROR"


# --- questions ------------------------------------------------------------------------------------


async def test_the_last_message_is_the_question_and_earlier_ones_go_along(
    gateway: Gateway,
) -> None:
    """The core gets text by its role; what clients keep in old messages harms nobody."""
    await ask(
        gateway,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [TEXT, {"type": "text", "text": "is tea?"}]},
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "annotations": [ANNOTATION],
                "tool_calls": [],
                "audio": None,
            },
            {"role": "assistant", "content": "A drink.", "refusal": None},
            {"role": "tool", "tool_call_id": "1", "content": "42"},
            {"role": "user", "content": [{"type": "text", "text": "Is it hot?"}]},
            {"role": "assistant", "content": "It"},
        ],
        tools=[],
        extra_body={"top_k": 3, "document_ids": [ID], "conversation_id": ID},
    )  # fmt: skip
    assert json.loads(gateway.core.bodies[-1]) == {
        "query": "Is it hot?",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What\nis tea?"},
            {"role": "assistant", "content": "A drink."},
        ],
        "top_k": 3,
        "document_ids": [ID],
        "conversation_id": ID,
    }


IGNORED: dict[str, Any] = {
    "temperature": 0.5, "top_p": 1, "frequency_penalty": 0.1, "presence_penalty": -1.5,
    "logit_bias": {"50256": -100}, "seed": 7, "max_tokens": 5, "max_completion_tokens": 5,
    "parallel_tool_calls": True, "reasoning_effort": "low", "verbosity": "high", "store": True,
    "metadata": {"a": "b"}, "user": "u-1", "safety_identifier": "s", "prompt_cache_key": "k",
    "prompt_cache_retention": "24h", "service_tier": "auto", "n": 1, "tools": [], "functions": [],
    "tool_choice": "none", "function_call": "auto", "response_format": {"type": "text"},
    "modalities": ["text"], "stop": [], "logprobs": False, "top_logprobs": 0,
    "stream_options": {"include_usage": True},
}  # fmt: skip
REFUSED: dict[str, Any] = {
    "n": 2, "tools": [{"type": "function", "function": {"name": "f"}}],
    "functions": [{"name": "f"}], "tool_choice": "required", "function_call": {"name": "f"},
    "response_format": {"type": "json_object"}, "modalities": ["text", "audio"],
    "audio": {"voice": "ash", "format": "wav"}, "prediction": {"type": "content", "content": "x"},
    "web_search_options": {}, "stop": "\n", "logprobs": True, "top_logprobs": 2,
    "nonsense": 1, "messages": [{"role": "system", "content": "x"}],
}  # fmt: skip


async def test_parameters_that_mean_nothing_here_are_ignored(gateway: Gateway) -> None:
    """All those of the page's table, together, and null in place of each."""
    await ask(gateway, extra_body=IGNORED)
    await ask(
        gateway, extra_body=dict.fromkeys({**IGNORED, **REFUSED}.keys() - {"messages", "nonsense"})
    )
    assert json.loads(gateway.core.bodies[-1]) == {"query": "hi"}


async def test_parameters_that_cannot_be_met_are_refused_by_name(gateway: Gateway) -> None:
    """A 400 whose message and ``param`` name it; the core is not asked."""
    for name, value in REFUSED.items():
        with pytest.raises(openai.BadRequestError) as raised:
            await ask(gateway, extra_body={name: value})
        assert str(raised.value.param).startswith(name), name
        assert name in raised.value.message, name
        assert raised.value.type == "invalid_request_error"
    assert not any(gateway.core.bodies)


async def test_another_model_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await ask(gateway, model="gpt-5")
    assert (raised.value.code, raised.value.param) == ("NOT_FOUND", "model")
    with pytest.raises(openai.NotFoundError) as unknown:
        async with await client_of(gateway) as client:
            await client.embeddings.create(model=MODEL, input="x")
    assert (unknown.value.code, unknown.value.type) == ("NOT_FOUND", "not_found_error")


# --- the page's examples --------------------------------------------------------------------------


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    return str(found)


@pytest.fixture
async def running(core: StubCore, tmp_path: Path) -> AsyncIterator[tuple[Served, str]]:
    core.sends(STREAM_HEAD, chunk(WHOLE), END)
    async with served(core, tmp_path, 1) as one:
        yield one, "http://{}:{}".format(*one.address)


async def test_the_pages_examples_work(running: tuple[Served, str], tmp_path: Path) -> None:
    """As they stand on the page, by curl and by the ``openai`` package of its readers."""
    gateway, url = running
    program = tmp_path / "example.py"
    program.write_text(example("python"), "utf-8")
    status, told = await output(sys.executable, str(program), url, gateway.token)
    assert (status, told) == (0, "hello (f.pdf: hello there)")
    status, told = await output(sys.executable, str(program), url, "nonsense")
    assert (status, "AuthenticationError" in told) == (1, True)
    script = f"GATEWAY={url} TOKEN={gateway.token}\n{example('sh')}"
    status, told = await output("sh", "-c", script)
    assert status == 0
    assert json.loads(told)["choices"][0]["message"]["content"].startswith("hello [1]\n")


# --- who asks -------------------------------------------------------------------------------------


async def test_an_api_key_is_an_openai_key(gateway: Gateway) -> None:
    """As a bearer token; a second credential beside it is refused, a wrong one, too."""
    made = await gateway.client.post(
        "/api/v1/keys",
        json={"name": "k", "scopes": ["query:run"]},
        headers=await gateway.bearer(),
    )
    key = made.json()["secret"]
    for headers, code in (({}, None), ({"X-API-Key": key}, "AMBIGUOUS_CREDENTIALS")):
        async with AsyncOpenAI(
            base_url=base_url(gateway), api_key=key, max_retries=0, default_headers=headers
        ) as client:
            if code is None:
                found = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
                assert found.choices[0].message.content == "hello"
                continue
            with pytest.raises(openai.AuthenticationError) as raised:
                await client.models.list()
            assert (raised.value.code, raised.value.type) == (code, "authentication_error")


async def test_limits_are_told_as_the_client_expects(core: StubCore) -> None:
    """A question here counts as one over HTTP; the client finds when to come back."""
    limits = "query:run 1/h burst 1 per subject"
    async with running_gateway(core, LIMITS=limits) as gateway:
        headers = await gateway.bearer()
        asked = await gateway.client.post("/api/v1/query", json={"query": "hi"}, headers=headers)
        assert asked.status_code == 200
        with pytest.raises(openai.RateLimitError) as raised:
            await ask(gateway)
        assert raised.value.type == "rate_limit_error"
        assert int(raised.value.response.headers["retry-after"]) > 0
