"""``CoreHttp`` and the revision of a user's documents: asked for, overheard, or not there."""

from __future__ import annotations

import pytest
from aiohttp import web

from gateway.errors import CoreLacks, CoreProtocolError, GatewayError

from .test_core import ID, RECORD, WHO, app, core_at

NAME = "X-KB-Corpus-Revision"
EVENTS = {"Content-Type": "text/event-stream"}


class Listening:
    """Implements ``domain.corpus_revision.Told``."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str | None, float]] = []
        self.time = 0.0

    def now(self) -> float:
        self.time += 1.0
        return self.time

    def told(self, tenant: str, subject: str, revision: str | None, sent_at: float) -> None:
        self.heard.append((tenant, subject, revision, sent_at))


async def test_the_revision_is_asked_for_in_the_owners_name() -> None:
    """One GET; the answer is what is in its JSON."""
    seen: list[tuple[str, str, str | None]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.raw_path, request.headers.get("X-KB-Subject")))
        return web.json_response({"revision": "9f.12", "more": 1})

    async with app(handler) as url, core_at(url) as (core, _):
        assert await core.revision(WHO) == "9f.12"
    assert seen == [("GET", "/v1/revision", "ann")]


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_core_without_revisions_is_told_from_one_that_fails(status: int) -> None:
    """It is not asked again before each question."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with app(handler) as url, core_at(url) as (core, _):
        with pytest.raises(CoreLacks):
            await core.revision(WHO)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"revision": ""}, None),
        ({"revision": "a b"}, None),
        ({"revision": "a" * 129}, None),
        ({"revision": 3}, CoreProtocolError),
        ({}, CoreProtocolError),
    ],
)
async def test_nonsense_is_no_revision(body: object, found: type[GatewayError] | None) -> None:
    """It never becomes part of a key or of a header."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    async with app(handler) as url, core_at(url) as (core, _):
        if found is None:
            assert await core.revision(WHO) is None
        else:
            with pytest.raises(found):
                await core.revision(WHO)


async def test_what_every_head_names_is_overheard() -> None:
    """With the time at which the call was sent; for a deletion, at which it was answered."""
    revisions = iter(["1", "2", "3", "not one"])

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {NAME: next(revisions)}
        if request.method == "POST":
            return web.Response(body=b"data: x\n\n", headers={**headers, **EVENTS})
        if request.method == "DELETE":
            return web.Response(status=204, headers=headers)
        return web.json_response(RECORD, headers=headers)

    listening = Listening()
    async with app(handler) as url, core_at(url) as (core, _):
        core.tell(listening)
        stream = await core.open_query(WHO, {"query": "why?"})
        assert stream.revision == "1"
        await stream.aclose()
        await core.get_document(WHO, ID)
        await core.delete_document(WHO, ID)
        await core.get_document(WHO, ID)
    heard = [("acme", "ann", "1", 1.0), ("acme", "ann", "2", 2.0), ("acme", "ann", "3", 4.0)]
    assert listening.heard == heard
