"""The main job on real components: log in, upload, index, ask, read the cited answer."""

from __future__ import annotations

import hashlib
import json

import pytest

from .conftest import People
from .people import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

GLACIER = (
    b"Marmots live in the Alps. The Aletsch glacier is about twenty kilometres long.\n"
    b"Its ice is up to eight hundred metres thick near Konkordiaplatz.\n"
)


async def test_an_uploaded_document_is_cited_in_the_streamed_answer(people: People) -> None:
    """From nothing to an answer whose citation points into the uploaded file."""
    alice = await people("alice")
    document_id = await alice.add(GLACIER, "glacier.txt")
    answer = await alice.ask("How long is the Aletsch glacier?", document_ids=[document_id])
    assert "twenty kilometres" in answer.text
    (sources,) = answer.named("sources")
    assert {source["document_id"] for source in sources} == {document_id}
    assert sources[0]["filename"] == "glacier.txt"
    citation = answer.named("citation")[0]
    assert answer.text[citation["start"] : citation["end"]].strip()
    assert answer.events[-1][0] == "done"


async def test_the_json_answer_says_what_the_stream_says(people: People) -> None:
    """``stream: false`` is the same stream, collected."""
    alice = await people("alice")
    document_id = await alice.add(GLACIER, "again.txt")
    question = {"query": "How thick is the ice?", "document_ids": [document_id]}
    streamed = await alice.ask(**question)
    plain = await alice.http.post("/api/v1/query", json={**question, "stream": False})
    assert plain.status_code == 200
    assert plain.json()["answer"] == streamed.text
    assert plain.json()["citations"] == streamed.named("citation")
    by_accept = await alice.http.post(
        "/api/v1/query", json=question, headers={"Accept": "application/json"}
    )
    assert by_accept.json()["answer"] == streamed.text


async def test_a_put_upload_works_as_the_form_does(people: People) -> None:
    """Some clients can't send forms: a presigned PUT does the same."""
    alice = await people("alice")
    digest = hashlib.sha256(GLACIER).hexdigest()
    ticket = await alice.announce(GLACIER, "put.txt", upload_method="PUT", sha256=digest)
    assert ticket["upload"]["method"] == "PUT"
    assert (await alice.upload(ticket, GLACIER)).is_success
    assert (await alice.complete(ticket["document_id"])).status_code == 202
    assert (await alice.settled(ticket["document_id"]))["status"] == "indexed"


async def test_a_large_document_goes_up_in_parts(people: People) -> None:
    """Above the threshold the upload is S3 multipart, its parts signed on demand and again."""
    alice = await people("alice")
    content = b"".join(b"Line %d speaks of the marmot of Saas-Fee.\n" % n for n in range(170_000))
    ticket = await alice.announce(content, "large.txt")
    upload = ticket["upload"]
    assert upload["method"] == "MULTIPART"
    size = upload["part_size"]
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    numbers = list(range(1, len(pieces) + 1))
    url = f"/api/v1/documents/{ticket['document_id']}/parts"
    first = (await alice.http.post(url, json={"parts": numbers})).json()["parts"]
    again = (await alice.http.post(url, json={"parts": numbers})).json()["parts"]
    assert [part["n"] for part in first] == [part["n"] for part in again] == numbers
    done = []
    async with type(alice.http)(timeout=60, trust_env=False) as s3:
        for part, piece in zip(again, pieces, strict=True):
            sent = await s3.put(part["url"], content=piece, headers=part["headers"])
            assert sent.is_success, sent.text
            done.append({"n": part["n"], "etag": sent.headers["ETag"]})
    early = await alice.complete(ticket["document_id"])
    assert early.status_code in {400, 409}
    completed = await alice.complete(ticket["document_id"], parts=done)
    assert completed.status_code == 202, completed.text
    repeated = await alice.complete(ticket["document_id"], parts=done)
    assert repeated.status_code == 202
    assert (await alice.settled(ticket["document_id"]))["status"] == "indexed"


async def test_listing_pages_through_everything_once(people: People) -> None:
    """Open uploads and indexed documents stand in one list, newest first, each once."""
    carol = await people("carol")
    made = [await carol.add(b"The capybara swims well. %d" % n, f"{n}.txt") for n in range(3)]
    waiting = (await carol.announce(b"x", "waiting.txt"))["document_id"]

    async def all_ids() -> list[str]:
        found, cursor = [], None
        while True:
            params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await carol.http.get("/api/v1/documents", params=params)).json()
            found += [document["document_id"] for document in page["documents"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    async def complete_list() -> list[str] | None:
        ids = await all_ids()
        return ids if waiting in ids else None

    ids = await until(complete_list)
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == len(set(ids))
    assert {*made, waiting} <= set(ids)


async def test_a_deleted_document_is_gone_from_index_list_and_store(people: People) -> None:
    """Afterwards it is 404, is not listed, and no answer draws on it."""
    bob = await people("bob")
    document_id = await bob.add(b"The quokka of Rottnest Island smiles.", "quokka.txt")
    assert (await bob.ask("Where does the quokka live?")).named("sources")[0]
    deleted = await bob.http.delete(f"/api/v1/documents/{document_id}")
    assert deleted.status_code == 204
    assert (await bob.read(document_id)).status_code == 404
    assert (await bob.complete(document_id)).status_code == 404
    assert (await bob.http.delete(f"/api/v1/documents/{document_id}")).status_code == 404
    assert document_id not in json.dumps((await bob.http.get("/api/v1/documents")).json())
    assert b"Rottnest" not in (await bob.ask("Where does the quokka live?")).raw
