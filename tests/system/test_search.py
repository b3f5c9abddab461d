"""Search and the document behind a citation, on a real core and a real store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path

import httpx
import pytest

from .conftest import People
from .people import Person

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

PAGE = Path(__file__).parents[2] / "docs" / "search.md"
TAPIR = b"The tapir of Ipoh is called Mahsuri-4417. It sleeps by day.\n"


async def passages(who: Person, query: str, **more: object) -> list[dict[str, object]]:
    answer = await who.http.post("/api/v1/search", json={"query": query, **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["passages"])


async def download(who: Person, document_id: str, **query: str) -> httpx.Response:
    """As a client does it: the redirect is followed, and the store gets no credential of ours."""
    path = f"/api/v1/documents/{document_id}/content"
    answer = await who.http.get(path, params=query)
    assert answer.status_code == 302, answer.text
    async with httpx.AsyncClient(timeout=60, trust_env=False) as s3:
        return await s3.get(answer.headers["Location"])


async def test_a_passage_leads_to_the_document_it_is_from(people: People) -> None:
    """Found, then downloaded: the very bytes, under their name, as an attachment."""
    alice = await people("alice")
    document_id = await alice.add(TAPIR, "Tapir – “Ipoh”.txt")
    [found] = await passages(alice, "What is the tapir called?", document_ids=[document_id])
    assert (found["document_id"], found["filename"]) == (document_id, "Tapir – “Ipoh”.txt")
    assert "Mahsuri-4417" in str(found["text"])
    assert float(str(found["score"])) > 0
    got = await download(alice, document_id)
    assert (got.status_code, got.content) == (200, TAPIR)
    assert got.headers["Content-Type"] == "text/plain"
    disposition = got.headers["Content-Disposition"]
    assert disposition.startswith("attachment;")
    assert "filename*=UTF-8''Tapir%20%E2%80%93%20%E2%80%9CIpoh%E2%80%9D.txt" in disposition


async def test_a_search_finds_the_callers_documents_alone(people: People) -> None:
    """Neither a colleague, nor a stranger, nor their admins; not by an id either."""
    alice = await people("alice")
    document_id = await alice.add(b"The numbat's code is termite-of-alice-3390.", "numbat.txt")
    assert await passages(alice, "numbat code")
    for name in ("bob", "carol", "root", "boss"):
        other = await people(name)
        for more in ({}, {"document_ids": [document_id]}):
            found = await passages(other, "numbat code", **more)
            assert document_id not in {one["document_id"] for one in found}


async def test_anothers_document_is_not_given_out(people: People) -> None:
    """404 without ``?owner=``; with it 403 for all but an admin of the tenant."""
    alice, bob = await people("alice"), await people("bob")
    root, boss = await people("root"), await people("boss")
    document_id = await alice.add(TAPIR, "tapir.txt")
    path = f"/api/v1/documents/{document_id}/content"
    for who in (bob, root, boss):
        assert (await who.http.get(path)).status_code == 404
    assert (await bob.http.get(path, params={"owner": "alice"})).status_code == 403
    assert (await boss.http.get(path, params={"owner": "alice"})).status_code == 404
    assert (await download(root, document_id, owner="alice")).content == TAPIR


async def test_a_page_is_given_out_as_bytes(people: People) -> None:
    """What a user stored as HTML is no page of the store's."""
    alice = await people("alice")
    page = b"<h1>Quoll</h1><p>The quoll is spotted.</p><script>alert(1)</script>"
    document_id = await alice.add(page, "quoll.html", "text/html")
    got = await download(alice, document_id)
    assert (got.status_code, got.content) == (200, page)
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-Disposition"].startswith("attachment;")


async def test_what_is_sent_with_the_form_again_is_not_given_out(people: People) -> None:
    """The form still works after ``complete``; whoever asks gets the bytes that were indexed."""
    alice = await people("alice")
    digest = hashlib.sha256(TAPIR).hexdigest()
    ticket = await alice.announce(TAPIR, "again.txt")
    document_id = ticket["document_id"]
    assert (await alice.upload(ticket, TAPIR)).is_success
    assert (await alice.complete(document_id)).status_code == 202
    assert (await alice.settled(document_id))["status"] == "indexed"
    assert (await alice.upload(ticket, TAPIR.replace(b"4417", b"0000"))).is_success
    got = await download(alice, document_id)
    assert hashlib.sha256(got.content).hexdigest() == digest


async def test_only_an_indexed_document_is_given_out(people: People) -> None:
    """409 while its upload is awaited, 404 once it was deleted; HEAD says the same."""
    alice = await people("alice")
    waiting = (await alice.announce(b"later", "later.txt"))["document_id"]
    path = f"/api/v1/documents/{waiting}/content"
    refused = await alice.call("GET", path)
    assert refused.status_code == 409
    assert refused.json()["error"]["details"]["status"] == "awaiting_upload"
    assert (await alice.call("HEAD", path)).status_code == 409
    document_id = await alice.add(TAPIR, "gone.txt")
    path = f"/api/v1/documents/{document_id}/content"
    head = await alice.call("HEAD", path)
    async with httpx.AsyncClient(timeout=60, trust_env=False) as s3:
        told = await s3.head(head.headers["Location"])
    assert (told.status_code, told.headers["Content-Length"]) == (200, str(len(TAPIR)))
    assert (await alice.call("DELETE", f"/api/v1/documents/{document_id}")).status_code == 204
    assert (await alice.call("GET", path)).status_code == 404


async def test_the_examples_of_the_page_work(people: People, tmp_path: Path) -> None:
    """As somebody would type them, in a terminal."""
    alice = await people("alice")
    text = b"Green tea is steeped for three minutes.\n"
    document_id = await alice.add(text, "steeping.txt")
    known = {
        "GATEWAY": str(alice.http.base_url).rstrip("/"),
        "TOKEN": alice.http.headers["Authorization"].removeprefix("Bearer "),
        "DOCUMENT": document_id,
    }
    found, nothing = [
        await typed(example, known, tmp_path)
        for example in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    ]
    assert "steeping.txt" in found
    assert "three minutes" in found
    assert nothing == ""
    assert files_in(tmp_path) == [text]


def files_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


async def typed(example: str, known: dict[str, str], folder: Path) -> str:
    """What a terminal shows of it."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", example),
        cwd=folder,
        env={**os.environ, **known, "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, wrong = await process.communicate()
    assert process.returncode == 0, wrong.decode()
    return said.decode()
