"""A core that tells of documents that cannot be: the client gets 502 and nothing of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from .conftest import Gateway, running_gateway
from .stub_core import StubCore

ID = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f{:04x}"
RECORD: dict[str, Any] = {
    "document_id": ID.format(0),
    "filename": "a.pdf",
    "content_type": "application/pdf",
    "size": 3,
    "status": "indexed",
    "error": None,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "sha256": "0" * 64,
}


def answers(gateway: Gateway, body: object) -> None:
    data = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + data)

    gateway.core.script = script


async def listed(gateway: Gateway, *records: dict[str, Any]) -> tuple[int, str]:
    answers(gateway, {"documents": records, "next_cursor": None})
    answer = await gateway.client.get("/api/v1/documents", headers=await gateway.bearer())
    return answer.status_code, answer.text


@pytest.mark.parametrize(
    "wrong",
    [{"document_id": "../x"}, {"size": -1}, {"sha256": "x"}, {"created_at": "now"}],
    ids=str,
)
async def test_a_record_that_cannot_be_is_502(gateway: Gateway, wrong: dict[str, Any]) -> None:
    """In a listing and alone."""
    status, text = await listed(gateway, RECORD | wrong)
    assert (status, "CORE_PROTOCOL_ERROR" in text, "a.pdf" in text) == (502, True, False)
    answers(gateway, RECORD | wrong)
    one = await gateway.client.get(
        f"/api/v1/documents/{ID.format(0)}", headers=await gateway.bearer()
    )
    assert (one.status_code, one.json()["error"]["code"]) == (502, "CORE_PROTOCOL_ERROR")


async def test_five_hundred_records_for_a_page_of_twenty_are_502(gateway: Gateway) -> None:
    """A page has what was asked for, newest first; a good one is shown as it is."""
    many = [RECORD | {"document_id": ID.format(n)} for n in range(500, 0, -1)]
    assert (await listed(gateway, *many))[0] == 502
    assert (await listed(gateway, *reversed(many[:20])))[0] == 502
    status, text = await listed(gateway, *many[:20])
    assert status == 200
    assert [one["document_id"] for one in json.loads(text)["documents"]] == [
        one["document_id"] for one in many[:20]
    ]


async def test_the_answer_limit_holds_for_document_calls(core: StubCore) -> None:
    """``GATEWAY_ANSWER_LIMIT`` bounds what the core may say of documents, too."""
    async with running_gateway(core, ANSWER_LIMIT="2KiB") as gateway:
        assert (await listed(gateway, RECORD))[0] == 200
        status, text = await listed(gateway, RECORD | {"filename": "x" * 2048})
        assert (status, "CORE_PROTOCOL_ERROR" in text) == (502, True)
