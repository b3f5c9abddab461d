"""The ``ObjectStore`` port: what works on every store, and what a real one refuses."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from gateway.adapters.s3 import S3ObjectStore
from gateway.adapters.s3_client import S3Client
from gateway.commands.setup_buckets import set_up_documents
from gateway.domain.documents import MIB, Announced
from gateway.errors import Conflict, StorageUnavailable
from gateway.ports import PresignedUpload
from tests.contract.documents.conftest import BUCKET, ORIGIN, RunningStore

BODY = b"The quick brown fox."
KEY = "uploads/acme/alice/0190b2f0-0000-7000-8000-000000000001"
ANNOUNCED = Announced(
    filename='Übersicht "1"; 100%.txt',
    content_type="text/plain",
    size=len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
    upload_id=None,
    expires_at=2_000_000_000,
)


async def send_form(
    form: PresignedUpload, body: bytes = BODY, altered: dict[str, str | None] | None = None
) -> httpx.Response:
    """Posts the form as a browser would; ``altered`` replaces fields, or drops them (``None``)."""
    fields = {k: v for k, v in {**form.fields, **(altered or {})}.items() if v is not None}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.post(form.url, data=fields, files={"file": ("x", body)})


async def put(
    upload: PresignedUpload, body: bytes = BODY, headers: dict[str, str] | None = None
) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.put(
            upload.url, content=body, headers=upload.headers if headers is None else headers
        )


def form_of(running: RunningStore, announced: Announced = ANNOUNCED, **kw: Any) -> PresignedUpload:
    return running.store.presign_post(KEY, announced, **{"expires_in_s": 600, **kw})


def put_of(running: RunningStore, announced: Announced = ANNOUNCED, **kw: Any) -> PresignedUpload:
    return running.store.presign_put(KEY, announced, **{"expires_in_s": 600, **kw})


@pytest.mark.parametrize("way", ["form", "put"])
async def test_what_was_announced_can_be_uploaded_and_is_described(
    any_store: RunningStore, way: str
) -> None:
    """After an upload by form or PUT, ``head`` tells size, type, checksum and a pinned version."""
    sent = await send_form(form_of(any_store)) if way == "form" else await put(put_of(any_store))
    assert sent.status_code in (200, 204), sent.text
    head = await any_store.store.head(KEY, any_store.soon())
    assert head is not None
    assert (head.size, head.content_type) == (len(BODY), "text/plain")
    # moto forgets the checksum of a form; nobody may take that for a different one.
    assert head.sha256 in (
        {ANNOUNCED.sha256, None} if any_store.checks_nothing else {ANNOUNCED.sha256}
    )
    assert head.version_id
    assert head.etag


@pytest.mark.parametrize("way", ["form", "put"])
async def test_filename_is_kept_and_safe_in_content_disposition(
    real_store: RunningStore, way: str
) -> None:
    """The name travels percent-encoded, and quoted and in ASCII in ``Content-Disposition``."""
    sent = await send_form(form_of(real_store)) if way == "form" else await put(put_of(real_store))
    assert sent.status_code in (200, 204), sent.text
    stored = await real_store.client.call("head_object", real_store.soon(), Bucket=BUCKET, Key=KEY)
    encoded = "%C3%9Cbersicht%20%221%22%3B%20100%25.txt"
    assert stored["Metadata"] == {"filename": encoded}
    assert stored["ContentDisposition"] == (
        f"attachment; filename=\"_bersicht _1__ 100_.txt\"; filename*=UTF-8''{encoded}"
    )


REFUSED_FORMS: dict[str, tuple[dict[str, str | None], bytes]] = {
    "one byte too many": ({}, BODY + b"!"),
    "one byte too few": ({}, BODY[:-1]),
    "an empty file": ({}, b""),
    "other bytes of the same length": ({}, BODY[::-1]),
    "another type": ({"Content-Type": "text/html"}, BODY),
    "no type": ({"Content-Type": None}, BODY),
    "another key": ({"key": KEY[:-1] + "2"}, BODY),
    "somebody else's key": ({"key": KEY.replace("alice", "bob")}, BODY),
    "another checksum": (
        {"x-amz-checksum-sha256": base64.b64encode(bytes(32)).decode()},
        BODY,
    ),
    "no checksum": ({"x-amz-checksum-sha256": None}, BODY),
    "another filename": ({"x-amz-meta-filename": "x.exe"}, BODY),
    "another disposition": ({"Content-Disposition": "inline"}, BODY),
    "a field more": ({"x-amz-meta-more": "1"}, BODY),
    "a public object": ({"acl": "public-read"}, BODY),
    "no policy": ({"policy": None}, BODY),
    "no signature": ({"x-amz-signature": None}, BODY),
    "a made-up signature": ({"x-amz-signature": "0" * 64}, BODY),
}


@pytest.mark.parametrize("case", REFUSED_FORMS)
async def test_form_refuses_what_was_not_announced(real_store: RunningStore, case: str) -> None:
    """A presigned form takes exactly the announced object and nothing is stored otherwise."""
    altered, body = REFUSED_FORMS[case]
    sent = await send_form(form_of(real_store), body, altered)
    assert 400 <= sent.status_code < 500, (sent.status_code, sent.text)
    assert await real_store.store.head(KEY, real_store.soon()) is None


async def test_form_with_altered_policy_is_refused(real_store: RunningStore) -> None:
    """Whoever rewrites the policy, say for a larger file, has no signature for it."""
    form = form_of(real_store)
    policy = json.loads(base64.b64decode(form.fields["policy"]))
    for condition in policy["conditions"]:
        if isinstance(condition, list):
            condition[2] = 10**9
    forged = base64.b64encode(json.dumps(policy).encode()).decode()
    sent = await send_form(form, BODY + b"more", {"policy": forged})
    assert sent.status_code == 403
    assert await real_store.store.head(KEY, real_store.soon()) is None


async def test_expired_form_is_refused(real_store: RunningStore) -> None:
    """A form is good until its end and not after."""
    sent = await send_form(form_of(real_store, expires_in_s=-1))
    assert sent.status_code == 403
    assert await real_store.store.head(KEY, real_store.soon()) is None


async def test_put_refuses_what_was_not_announced(real_store: RunningStore) -> None:
    """Length, type, checksum and filename are signed into a PUT."""
    upload = put_of(real_store)
    headers = dict(upload.headers)
    attempts = [
        (BODY + b"!", headers),
        (BODY[:-1], headers),
        (BODY[::-1], headers),
        (BODY, {**headers, "Content-Type": "text/html"}),
        (BODY, {k: v for k, v in headers.items() if k != "x-amz-checksum-sha256"}),
        (BODY, {**headers, "x-amz-meta-filename": "x.exe"}),
        (BODY, {**headers, "Content-Disposition": "inline"}),
    ]
    for body, sent_headers in attempts:
        sent = await put(upload, body, sent_headers)
        assert 400 <= sent.status_code < 500, (sent_headers, sent.text)
    elsewhere = replace(upload, url=upload.url.replace("alice", "bob"))
    assert (await put(elsewhere)).status_code == 403
    assert await real_store.store.head(KEY, real_store.soon()) is None


async def test_checksum_is_optional(any_store: RunningStore) -> None:
    """Without an announced checksum the upload works and ``head`` claims none that was promised."""
    announced = replace(ANNOUNCED, sha256=None)
    assert (await put(put_of(any_store, announced))).status_code == 200
    assert (await send_form(form_of(any_store, announced))).status_code == 204
    assert await any_store.store.head(KEY, any_store.soon()) is not None


async def test_a_put_writes_once(any_store: RunningStore) -> None:
    """Sent again, or by many at once, it is 412 and the first version stays the only one."""
    upload = put_of(any_store)
    assert upload.headers["If-None-Match"] == "*"
    assert (await put(upload)).status_code == 200
    first = await any_store.store.head(KEY, any_store.soon())
    again = await asyncio.gather(*(put(upload) for _ in range(5)))
    assert {sent.status_code for sent in again} == {412}
    assert await versions_of(any_store, KEY) == 1
    assert await any_store.store.head(KEY, any_store.soon()) == first


async def test_of_eight_puts_at_once_one_writes(real_store: RunningStore) -> None:
    """Whoever comes first: the others are refused, and nothing of theirs is kept."""
    upload = put_of(real_store)
    sent = await asyncio.gather(*(put(upload) for _ in range(8)))
    assert sorted(answer.status_code for answer in sent) == [200] + [412] * 7
    assert await versions_of(real_store, KEY) == 1


@pytest.mark.parametrize("condition", [None, '"another"'])
async def test_a_put_without_its_condition_is_refused(
    real_store: RunningStore, condition: str | None
) -> None:
    """The condition is signed: a client that leaves it out or weakens it writes nothing at all."""
    upload = put_of(real_store)
    others = {k: v for k, v in upload.headers.items() if k != "If-None-Match"}
    headers = others if condition is None else {**others, "If-None-Match": condition}
    assert (await put(upload, headers=headers)).status_code == 403
    assert await real_store.store.head(KEY, real_store.soon()) is None


async def versions_of(running: RunningStore, key: str) -> int:
    listed = await running.client.call(
        "list_object_versions", running.soon(), Bucket=BUCKET, Prefix=key
    )
    return len(listed.get("Versions", ()))


class Multipart:
    """A multipart upload of two parts: 5 MiB and a little."""

    sizes = (5 * MIB, 11)
    announced = replace(
        ANNOUNCED, content_type="application/pdf", size=sum(sizes), filename="big.pdf"
    )

    def __init__(self, running: RunningStore) -> None:
        self.running = running
        self.bodies = [os.urandom(size) for size in self.sizes]
        self.upload_id = ""

    async def begin(self) -> None:
        store = self.running.store
        self.upload_id = await store.create_multipart(KEY, self.announced, self.running.soon())

    async def send(self, n: int, body: bytes | None = None) -> httpx.Response:
        signed = self.running.store.presign_part(
            KEY, upload_id=self.upload_id, n=n, size=self.sizes[n - 1], expires_in_s=600
        )
        return await put(signed, self.bodies[n - 1] if body is None else body)

    async def send_all(self) -> list[tuple[int, str]]:
        return [(n, (await self.send(n)).headers["ETag"]) for n in (1, 2)]

    async def complete(self, parts: list[tuple[int, str]]) -> None:
        await self.running.store.complete_multipart(
            KEY, upload_id=self.upload_id, parts=parts, deadline=self.running.soon()
        )


async def test_multipart_upload_from_begin_to_end(any_store: RunningStore) -> None:
    """Parts by presigned URLs become one object; completing it again changes nothing."""
    upload = Multipart(any_store)
    await upload.begin()
    parts = await upload.send_all()
    assert await any_store.store.head(KEY, any_store.soon()) is None
    await upload.complete(parts)
    first = await any_store.store.head(KEY, any_store.soon())
    await upload.complete(parts)
    assert first is not None
    assert (first.size, first.content_type) == (upload.announced.size, "application/pdf")
    assert first.sha256 is None
    assert await any_store.store.head(KEY, any_store.soon()) == first


async def test_multipart_completed_twice_at_once_is_one_object(real_store: RunningStore) -> None:
    """Two completions racing both succeed, and the same bytes are there."""
    upload = Multipart(real_store)
    await upload.begin()
    parts = await upload.send_all()
    await asyncio.gather(*(upload.complete(parts) for _ in range(4)))
    head = await real_store.store.head(KEY, real_store.soon())
    assert head is not None
    assert head.size == upload.announced.size


async def test_parts_are_not_put_together_over_an_object(any_store: RunningStore) -> None:
    """An object that is there already stays, and the parts do not become a second version of it."""
    upload = Multipart(any_store)
    await upload.begin()
    parts = await upload.send_all()
    assert (await put(put_of(any_store))).status_code == 200
    await upload.complete(parts)
    assert await versions_of(any_store, KEY) == 1
    head = await any_store.store.head(KEY, any_store.soon())
    assert head is not None
    assert head.size == len(BODY)


async def test_part_of_another_length_is_refused(real_store: RunningStore) -> None:
    """Each part's exact length is signed."""
    upload = Multipart(real_store)
    await upload.begin()
    assert (await upload.send(2, b"x" * 12)).status_code == 403
    assert (await upload.send(2, b"x" * 10)).status_code == 403


async def test_part_that_never_came_is_a_conflict(real_store: RunningStore) -> None:
    """A list naming a part the store does not have leaves the upload open for another try."""
    upload = Multipart(real_store)
    await upload.begin()
    parts = await upload.send_all()
    with pytest.raises(Conflict):
        await upload.complete([parts[0], (2, '"00000000000000000000000000000000"')])
    assert await real_store.store.head(KEY, real_store.soon()) is None
    await upload.complete(parts)
    assert await real_store.store.head(KEY, real_store.soon()) is not None


async def test_aborted_upload_is_gone_and_aborting_again_is_fine(any_store: RunningStore) -> None:
    """Nothing is left of an aborted upload, and its end may be told twice."""
    upload = Multipart(any_store)
    await upload.begin()
    await upload.send(1)
    for _ in range(2):
        await any_store.store.abort_multipart(
            KEY, upload_id=upload.upload_id, deadline=any_store.soon()
        )
    listed = await any_store.client.call("list_multipart_uploads", any_store.soon(), Bucket=BUCKET)
    assert not listed.get("Uploads")
    if not any_store.checks_nothing:
        assert (await upload.send(2)).status_code == 404


async def test_delete_removes_every_version_of_exactly_that_key(any_store: RunningStore) -> None:
    """All versions and delete markers go, a key that merely begins alike stays, again is fine."""
    neighbour = KEY + "0"
    for key in (KEY, neighbour):
        for _ in range(2):
            form = any_store.store.presign_post(key, ANNOUNCED, expires_in_s=60)
            assert (await send_form(form)).status_code == 204
    await any_store.client.call("delete_object", any_store.soon(), Bucket=BUCKET, Key=KEY)
    await any_store.store.delete(KEY, any_store.soon())
    await any_store.store.delete(KEY, any_store.soon())
    left = await any_store.client.call("list_object_versions", any_store.soon(), Bucket=BUCKET)
    entries = [*left.get("Versions", ()), *left.get("DeleteMarkers", ())]
    assert {entry["Key"] for entry in entries} == {neighbour}
    assert len(entries) == 2


async def test_hundreds_of_versions_are_deleted_in_one_call(
    any_store: RunningStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One form stores as many versions as its holder likes; its document can be deleted in time."""
    await deleted_in_steps(any_store, monkeypatch, 200, 1)


async def test_1500_versions_are_deleted_in_two_calls(
    real_store: RunningStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand a call, which is the most that S3 takes, until nothing is left."""
    await deleted_in_steps(real_store, monkeypatch, 1500, 2)
    assert await versions_of(real_store, KEY) == 0


async def deleted_in_steps(
    running: RunningStore, monkeypatch: pytest.MonkeyPatch, count: int, steps: int
) -> None:
    with ThreadPoolExecutor(8) as threads:
        write = partial(running.client.sync.put_object, Bucket=BUCKET, Key=KEY, Body=BODY)
        list(threads.map(lambda _: write(), range(count)))
    newest = await running.store.head(KEY, running.soon())
    asked: list[str] = []
    removed: list[str] = []
    call = running.client.call

    async def counted(operation: str, deadline: float, **arguments: Any) -> dict[str, Any]:
        asked.append(operation)
        removed.extend(o["VersionId"] for o in arguments.get("Delete", {}).get("Objects", ()))
        return await call(operation, deadline, **arguments)

    monkeypatch.setattr(running.client, "call", counted)
    await running.store.delete(KEY, running.soon())
    assert asked == ["list_object_versions", "delete_objects"] * steps + ["list_object_versions"]
    # Oldest first: each removal of the newest one would make the store look for the next newest.
    assert newest is not None
    assert removed[min(count, 1000) - 1] == newest.version_id
    assert await running.store.head(KEY, running.soon()) is None


async def test_second_upload_makes_another_version(real_store: RunningStore) -> None:
    """A form used twice cannot change the version that was pinned the first time."""
    form = form_of(real_store)
    await send_form(form)
    first = await real_store.store.head(KEY, real_store.soon())
    await send_form(form)
    second = await real_store.store.head(KEY, real_store.soon())
    assert first is not None
    assert second is not None
    assert first.version_id != second.version_id


async def test_setting_up_again_changes_nothing(real_store: RunningStore) -> None:
    """Set-up may run at every start; browsers of the allowed origin may upload and see ETags."""
    await set_up_documents(BUCKET, [ORIGIN], real_store.client, real_store.soon())
    answer = await real_store.client.call("get_bucket_cors", real_store.soon(), Bucket=BUCKET)
    (rule,) = answer["CORSRules"]
    assert rule["AllowedOrigins"] == [ORIGIN]
    assert set(rule["AllowedMethods"]) == {"GET", "HEAD", "POST", "PUT"}
    assert rule["ExposeHeaders"] == ["ETag"]


async def test_wrong_credentials_and_missing_bucket_are_an_outage(real_store: RunningStore) -> None:
    """The gateway's own set-up faults are never told as "no such document"."""
    client = S3Client(replace(real_store.access, secret_key="wrong"))
    stranger = S3ObjectStore(client, real_store.access, BUCKET)
    nowhere = S3ObjectStore(real_store.client, real_store.access, "no-such-bucket")
    try:
        for work in (
            stranger.head(KEY, real_store.soon()),
            stranger.check(real_store.soon()),
            nowhere.check(real_store.soon()),
            nowhere.create_multipart(KEY, ANNOUNCED, real_store.soon()),
            nowhere.delete(KEY, real_store.soon()),
        ):
            with pytest.raises(StorageUnavailable):
                await work
    finally:
        stranger.close()
        nowhere.close()
        client.close()


async def test_frozen_store_fails_at_the_deadline_and_recovers(real_store: RunningStore) -> None:
    """A store that hangs costs the deadline and no more, however often; then all is well again."""
    loop = asyncio.get_running_loop()
    with real_store.frozen():
        for _ in range(2):
            began = loop.time()
            with pytest.raises(StorageUnavailable):
                await real_store.store.head(KEY, began + 0.3)
            assert loop.time() - began < 5
    await real_store.store.check(real_store.soon())


async def test_stopped_store_is_an_outage_and_comes_back(real_store: RunningStore) -> None:
    """A refused connection is told at once; after the store's return the next call works."""
    await real_store.server.child.stop()
    with pytest.raises(StorageUnavailable):
        await real_store.store.check(real_store.soon())
    await real_store.server.start_again()
    await real_store.store.check(real_store.soon())
