"""What was not announced does not get in, and what got in is not changed any more."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from devstack import buckets
from devstack.environment import DOCUMENTS_BUCKET
from devstack.stack import Stack

from .conftest import People
from .people import Person, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

SLOTH = b"The sloth of Monteverde sleeps fifteen hours."


async def test_complete_before_the_upload_is_a_conflict_that_changes_nothing(
    people: People,
) -> None:
    """409, and the document still waits: the upload then goes on as announced."""
    alice = await people("alice")
    ticket = await alice.announce(SLOTH, "early.txt")
    early = await alice.complete(ticket["document_id"])
    assert (early.status_code, early.json()["error"]["code"]) == (409, "CONFLICT")
    assert (await alice.read(ticket["document_id"])).json()["status"] == "awaiting_upload"
    assert (await alice.upload(ticket, SLOTH)).is_success
    assert (await alice.complete(ticket["document_id"])).status_code == 202
    assert (await alice.settled(ticket["document_id"]))["status"] == "indexed"


@pytest.mark.parametrize(
    ("name", "content", "altered"),
    [
        ("longer", SLOTH + b"!", {}),
        ("shorter", SLOTH[:-1], {}),
        ("other bytes", b"x" * len(SLOTH), {}),
        ("other type", SLOTH, {"Content-Type": "text/html"}),
        ("other key", SLOTH, {"key": "uploads/acme/bob/01890000-0000-7000-8000-000000000000"}),
        ("other signature", SLOTH, {"x-amz-signature": "0" * 64}),
    ],
)
async def test_the_form_takes_what_was_announced_and_nothing_else(
    people: People, name: str, content: bytes, altered: dict[str, str]
) -> None:
    """Size, checksum, type and key are signed into the form: S3 itself refuses anything else."""
    alice = await people("alice")
    digest = hashlib.sha256(SLOTH).hexdigest()
    ticket = await alice.announce(SLOTH, "strict.txt", sha256=digest)
    fields = ticket["upload"]["fields"]
    known = {field.lower(): field for field in fields}
    for field, text in altered.items():
        fields[known[field.lower()]] = text
    sent = await alice.upload(ticket, content)
    assert 400 <= sent.status_code < 500, (name, sent.status_code, sent.text)
    assert (await alice.complete(ticket["document_id"])).status_code == 409


async def test_complete_twice_at_once_gives_the_same_answer(people: People) -> None:
    """A client that retries, or two of them, can't tell who was first."""
    alice = await people("alice")
    ticket = await alice.announce(SLOTH, "twice.txt")
    assert (await alice.upload(ticket, SLOTH)).is_success
    first, second = await asyncio.gather(
        alice.complete(ticket["document_id"]), alice.complete(ticket["document_id"])
    )
    third = await alice.complete(ticket["document_id"])
    assert first.status_code == second.status_code == third.status_code == 202
    assert first.json() == second.json() == third.json()


async def test_a_second_upload_to_a_completed_document_is_not_indexed(people: People) -> None:
    """The version that was checked is the version that is read, whatever comes after."""
    alice = await people("alice")
    original = b"The wombat digs at night, says the original."
    forged = b"The wombat digs at noon!, says the forgery!."
    assert len(original) == len(forged)
    ticket = await alice.announce(original, "wombat.txt")
    assert (await alice.upload(ticket, original)).is_success
    assert (await alice.complete(ticket["document_id"])).status_code == 202
    await alice.upload(ticket, forged)
    assert (await alice.complete(ticket["document_id"])).status_code == 202
    assert (await alice.settled(ticket["document_id"]))["status"] == "indexed"
    answer = await alice.ask("When does the wombat dig?", document_ids=[ticket["document_id"]])
    assert b"original" in answer.raw
    assert b"forgery" not in answer.raw


def versions_of(stack: Stack, who: Person, document_id: str) -> int:
    """How many versions the store has of a document."""
    s3 = buckets.client(stack.address("s3"), stack.secrets.gateway_store)
    key = f"uploads/{who.tenant}/{who.name}/{document_id}"
    try:
        listed = s3.list_object_versions(Bucket=DOCUMENTS_BUCKET, Prefix=key)
    finally:
        s3.close()
    return len(listed.get("Versions", ())) + len(listed.get("DeleteMarkers", ()))


async def upload_again(who: Person, ticket: dict[str, Any], content: bytes, times: int) -> None:
    """One form sent over and over, sixteen at a time."""
    upload, left = ticket["upload"], asyncio.Semaphore(16)
    async with httpx.AsyncClient(timeout=60, trust_env=False) as s3:

        async def send() -> None:
            async with left:
                files = {"file": ("file", content)}
                sent = await s3.post(upload["url"], data=upload["fields"], files=files)
                assert sent.status_code == 204, sent.text

        await asyncio.gather(*(send() for _ in range(times)))


async def test_one_form_leaves_one_version(people: People, stack: Stack) -> None:
    """However often it was sent: once the document is indexed, one version of it is stored."""
    alice = await people("alice")
    ticket = await alice.announce(SLOTH, "often.txt")
    document_id = ticket["document_id"]
    await upload_again(alice, ticket, SLOTH, 35)
    assert await asyncio.to_thread(versions_of, stack, alice, document_id) == 35
    assert (await alice.complete(document_id)).status_code == 202
    assert (await alice.settled(document_id))["status"] == "indexed"

    async def one_is_left() -> bool:
        return await asyncio.to_thread(versions_of, stack, alice, document_id) == 1

    await until(one_is_left)
    answer = await alice.ask("How long does the sloth sleep?", document_ids=[document_id])
    assert b"fifteen hours" in answer.raw


async def test_a_document_of_hundreds_of_versions_is_deleted(people: People, stack: Stack) -> None:
    """204 at the first try, and then there is nothing under its key."""
    alice = await people("alice")
    ticket = await alice.announce(SLOTH, "hundreds.txt")
    document_id = ticket["document_id"]
    await upload_again(alice, ticket, SLOTH, 200)
    deleted = await alice.http.delete(f"/api/v1/documents/{document_id}")
    assert deleted.status_code == 204, deleted.text
    assert await asyncio.to_thread(versions_of, stack, alice, document_id) == 0


async def test_a_put_cannot_be_sent_twice(people: People, stack: Stack) -> None:
    """412 says that the bytes are there: the client completes, and they are indexed."""
    alice = await people("alice")
    ticket = await alice.announce(SLOTH, "once.txt", upload_method="PUT")
    assert ticket["upload"]["headers"]["If-None-Match"] == "*"
    assert (await alice.upload(ticket, SLOTH)).status_code == 200
    assert (await alice.upload(ticket, SLOTH[::-1])).status_code == 412
    assert await asyncio.to_thread(versions_of, stack, alice, ticket["document_id"]) == 1
    assert (await alice.complete(ticket["document_id"])).status_code == 202
    assert (await alice.settled(ticket["document_id"]))["status"] == "indexed"
    assert (await alice.upload(ticket, SLOTH)).status_code == 412


@pytest.mark.parametrize(
    ("content", "filename", "content_type"),
    [
        (b"%PDF-1.4 not really", "broken.pdf", "application/pdf"),
        (b"\x80\x81\xc3\x28\xa0\xa1" * 20, "noise.txt", "text/plain"),
        (b"   \n\n  ", "blank.txt", "text/plain"),
    ],
    ids=["broken PDF", "not text", "blank"],
)
async def test_a_file_that_cannot_be_read_fails_with_a_reason(
    people: People, content: bytes, filename: str, content_type: str
) -> None:
    """``failed``, with a sentence a user understands and nothing of our insides."""
    alice = await people("alice")
    ticket = await alice.announce(content, filename, content_type)
    assert (await alice.upload(ticket, content)).is_success
    assert (await alice.complete(ticket["document_id"])).status_code == 202
    document = await alice.settled(ticket["document_id"])
    assert document["status"] == "failed"
    assert document["error"]
    assert "Traceback" not in document["error"]
    assert "Error(" not in document["error"]


async def test_form_and_json_announce_alike(people: People) -> None:
    """The seed's clients send a multipart form; its fields are the JSON body's."""
    alice = await people("alice")
    fields = {
        "filename": (None, "form.txt"),
        "content_type": (None, "text/plain"),
        "size": (None, str(len(SLOTH))),
    }
    answer = await alice.http.post("/api/v1/documents", files=fields)
    assert answer.status_code == 201, answer.text
    assert await sends(alice, answer.json(), SLOTH)


async def sends(who: Person, ticket: dict[str, object], content: bytes) -> bool:
    return (await who.upload(ticket, content)).is_success
