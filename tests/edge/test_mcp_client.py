"""The official client at ``POST /mcp``, used as its users would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from .conftest import Gateway
from .raw import TIMEOUT_S
from .served import served
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_core_records import answers
from .test_search import ID, PASSAGE
from .test_socket_served import output

PAGE = Path(__file__).parents[2] / "docs" / "mcp.md"
SOURCES = b"event: sources\ndata: [%b]\n\n" % json.dumps(PASSAGE).encode()


@contextlib.asynccontextmanager
async def client_of(gateway: Gateway, mode: str = "auto", **headers: str) -> AsyncIterator[Client]:
    """A client of alice's; ``mode`` is ``legacy`` for one that begins with ``initialize``."""
    found = headers or await gateway.bearer()
    url = f"http://{gateway.address[0]}:{gateway.address[1]}/mcp"
    async with (
        httpx2.AsyncClient(headers=found, timeout=TIMEOUT_S) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
async def test_every_tool_gives_what_its_schema_says(gateway: Gateway, mode: str) -> None:
    """The client checks each result by the schema of its tool, whatever revision it speaks."""
    async with client_of(gateway, mode) as client:
        listed = await client.list_tools()
        assert [tool.name for tool in listed.tools] == [
            *("ask", "search", "list_documents", "get_document")
        ]
        answer = await client.call_tool("ask", {"query": "hi"})
        assert not answer.is_error
        assert answer.structured_content["answer"] == "hello"
        answers(gateway, {"passages": [PASSAGE]})
        found = await client.call_tool("search", {"query": "tea", "top_k": 1})
        assert found.structured_content == {"passages": [PASSAGE]}
        answers(gateway, {"documents": [], "next_cursor": None})
        page = await client.call_tool("list_documents")
        assert page.structured_content == {"documents": [], "next_cursor": None}
        gateway.core.sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        missing = await client.call_tool("get_document", {"document_id": ID})
        assert missing.is_error
        assert json.loads(missing.content[0].text)["error"]["code"] == "NOT_FOUND"


async def test_the_client_is_told_progress(gateway: Gateway) -> None:
    """As the answer comes: the first words are there before the last ones are made."""
    go_on = gateway.core.holds(STREAM_HEAD, chunk(META + TOKEN), then=chunk(TOKEN + DONE) + END)
    told: list[Any] = []

    async def progress(*said: Any) -> None:
        told.append(said)
        go_on.set()

    async with client_of(gateway) as client, asyncio.timeout(TIMEOUT_S):
        answer = await client.call_tool("ask", {"query": "hi"}, progress_callback=progress)
    assert told[0] == (5.0, None, "hello")
    assert answer.structured_content["answer"] == "hellohello"


async def test_a_call_that_is_given_up_stops_the_core(gateway: Gateway) -> None:
    """Its request ends with it, and the gateway leaves the core."""
    async with client_of(gateway) as client, asyncio.timeout(TIMEOUT_S):
        gateway.core.holds(STREAM_HEAD, chunk(META))
        asking = asyncio.ensure_future(client.call_tool("ask", {"query": "hi"}))
        await gateway.core.asked.wait()
        asking.cancel()
        await gateway.core.closed.wait()
        gateway.core.script = gateway.core.answer_well
        answer = await client.call_tool("ask", {"query": "hi"})
        assert answer.structured_content["answer"] == "hello"


async def test_a_client_without_a_credential_is_told_so(gateway: Gateway) -> None:
    """Nothing works for it, the listing of tools neither."""
    async with client_of(gateway, "2026-07-28", Authorization="Bearer nonsense") as client:
        with pytest.raises(MCPError):
            await client.list_tools()


async def test_an_unknown_tool_is_no_result(gateway: Gateway) -> None:
    async with client_of(gateway) as client:
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("delete_everything", {})


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    return str(found)


async def test_the_pages_examples_work(core: StubCore, tmp_path: Path) -> None:
    """As they stand on the page: by the official client, and by curl without any."""
    core.sends(STREAM_HEAD, chunk(META + SOURCES + TOKEN + DONE), END)
    program = tmp_path / "example.py"
    program.write_text(example("python"), "utf-8")
    async with served(core, tmp_path, 1) as running:
        url = "http://{}:{}".format(*running.address)
        called = (sys.executable, str(program), f"{url}/mcp")
        assert await output(*called, running.token) == (0, "hello\ntea.pdf, page 2")
        status, _ = await output(*called, "nonsense")
        assert status != 0
        script = f"GATEWAY={url} TOKEN={running.token}\n{example('sh')}"
        status, told = await output("sh", "-c", script)
        assert status == 0
        assert json.loads(told)["result"]["structuredContent"]["answer"] == "hello"
