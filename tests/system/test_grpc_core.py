"""The reference core over REST and over gRPC, before a gateway each, with one store and index."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

import pytest

from devstack.stack import Stack

from .conftest import People
from .core_fixtures import core_process
from .people import Person
from .test_workers import serving

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

PANGOLIN = b"The pangolin of Hanoi is called Thao-2291. It eats ants at night.\n"
QUESTION = "What is the pangolin called?"


@contextlib.asynccontextmanager
async def before_a_grpc_core(stack: Stack) -> AsyncIterator[str]:
    """A second core of the same documents, over gRPC, and a gateway that asks it: its URL."""
    settings = {**stack.env_for_core(0), "CORE_GRPC_PORT": "0"}
    async with core_process("serve", settings) as (_, ready):
        address = f"grpc://127.0.0.1:{ready['grpc_port']}"
        async with serving(stack, 1, SERVICES_CORE=address) as gateway:
            yield gateway.base_url


async def test_a_user_sees_no_difference(stack: Stack, people: People) -> None:
    """Uploaded and indexed as always, then asked, found, listed and deleted over either core."""
    alice = await people("alice")
    document_id = await alice.add(PANGOLIN, "pangolin.txt")
    async with before_a_grpc_core(stack) as url:
        other = await Person(url, "alice", "acme").log_in()
        asked = {"query": QUESTION, "document_ids": [document_id]}
        one, same = await alice.ask(**asked), await other.ask(**asked)
        own = re.compile(rb'"query_id":"[^"]+"')
        assert own.sub(b"", one.raw) == own.sub(b"", same.raw)
        assert "Thao-2291" in same.text
        for method, path, body in (
            ("POST", "/api/v1/search", asked),
            ("GET", "/api/v1/documents", None),
            ("GET", f"/api/v1/documents/{document_id}", None),
        ):
            found = [await who.call(method, path, json=body) for who in (alice, other)]
            assert [answer.status_code for answer in found] == [200, 200]
            assert found[0].json() == found[1].json()
        deleted = await other.call("DELETE", f"/api/v1/documents/{document_id}")
        assert deleted.status_code == 204
        assert (await alice.read(document_id)).status_code == 404
        assert (await other.read(document_id)).status_code == 404
        assert document_id not in {
            source["document_id"] for source in (await alice.ask(QUESTION)).named("sources")[0]
        }
        await other.aclose()
