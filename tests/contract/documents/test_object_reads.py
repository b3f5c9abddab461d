"""``presign_read`` on a real store: one version, one method, a name and a type of our choice."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from tests.contract.documents.conftest import BUCKET, RunningStore

KEY = "uploads/acme/alice/0190b2f0-0000-7000-8000-000000000001"
NAME = 'Übersicht "1"; 100%.html'
DISPOSITION = (
    "attachment; filename=\"_bersicht _1__ 100_.html\"; filename*=UTF-8''"
    "%C3%9Cbersicht%20%221%22%3B%20100%25.html"
)


async def stored(running: RunningStore, body: bytes) -> str:
    """Its version."""
    answer = await running.client.call(
        *("put_object", running.soon()),
        Bucket=BUCKET,
        Key=KEY,
        Body=body,
        ContentType="text/html",
    )
    return str(answer["VersionId"])


def url_of(running: RunningStore, version_id: str | None, **other: Any) -> str:
    asked: dict[str, Any] = {
        "filename": NAME,
        "content_type": "application/octet-stream",
        "head": False,
        "expires_in_s": 60,
        **other,
    }
    return running.store.presign_read(KEY, version_id=version_id, **asked)


async def ask(method: str, url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.request(method, url, headers=headers)


async def test_the_pinned_version_is_given_out_whatever_came_later(
    real_store: RunningStore,
) -> None:
    """As an attachment of our type, so that a stored page is no page of the store's."""
    first = await stored(real_store, b"<script>first</script>")
    await stored(real_store, b"<script>second</script>")
    answer = await ask("GET", url_of(real_store, first))
    assert (answer.status_code, answer.content) == (200, b"<script>first</script>")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == DISPOSITION
    newest = await ask("GET", url_of(real_store, None))
    assert newest.content == b"<script>second</script>"


async def test_a_head_has_a_permission_of_its_own(real_store: RunningStore) -> None:
    """The method is part of what is signed: neither serves for the other."""
    version = await stored(real_store, b"page")
    head = await ask("HEAD", url_of(real_store, version, head=True))
    assert (head.status_code, head.headers["Content-Length"]) == (200, "4")
    assert (await ask("HEAD", url_of(real_store, version))).status_code == 403
    assert (await ask("GET", url_of(real_store, version, head=True))).status_code == 403


async def test_a_part_of_a_file_can_be_asked_for(real_store: RunningStore) -> None:
    """A download that broke off goes on where it was."""
    version = await stored(real_store, b"0123456789")
    answer = await ask("GET", url_of(real_store, version), Range="bytes=4-")
    assert (answer.status_code, answer.content) == (206, b"456789")


CHANGES = {
    "versionId": "another",
    "response-content-type": "text/html",
    "response-content-disposition": "inline",
    "X-Amz-Expires": "600",
    "X-Amz-Signature": "0" * 64,
}


@pytest.mark.parametrize("name", CHANGES)
async def test_nothing_of_the_permission_can_be_changed(
    real_store: RunningStore, name: str
) -> None:
    """Version, type, name and end are signed; so is the key."""
    version = await stored(real_store, b"page")
    parts = urlsplit(url_of(real_store, version))
    query = dict(parse_qsl(parts.query))
    assert name in query
    changed = parts._replace(query=urlencode(query | {name: CHANGES[name]}))
    assert (await ask("GET", urlunsplit(changed))).status_code == 403
    other = parts._replace(path=parts.path.replace("alice", "bob"))
    assert (await ask("GET", urlunsplit(other))).status_code == 403
    assert (await ask("PUT", urlunsplit(parts))).status_code == 403
