"""``GET /api/v1/documents/{id}/content``: a redirect to the bytes, for whoever may have them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import Gateway
from .test_core_records import ID, RECORD, answers

DOCUMENT = ID.format(0)
CONTENT = f"/api/v1/documents/{DOCUMENT}/content"


async def content(
    gateway: Gateway, who: str = "alice", *, method: str = "GET", **query: str
) -> httpx.Response:
    return await gateway.client.request(
        method, CONTENT, params=query, headers=await gateway.bearer(who)
    )


def knows(gateway: Gateway, **other: Any) -> None:
    answers(gateway, {**RECORD, "version_id": "v1", **other})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_indexed_document_is_a_redirect_to_its_version(
    gateway: Gateway, method: str
) -> None:
    """For the client's own method; nothing keeps the address, which is a secret for a minute."""
    knows(gateway)
    answer = await content(gateway, method=method)
    assert (answer.status_code, answer.content) == (302, b"")
    assert answer.headers["Location"] == (
        f"http://s3.test/uploads/acme/alice/{DOCUMENT}?{method}&versionId=v1"
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_a_page_in_a_browser_is_told_the_address(gateway: Gateway) -> None:
    """Its scripts see nothing of a redirect, so that it asks for the address itself."""
    knows(gateway)
    answer = await content(gateway, redirect="false")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json() == {
        "url": f"http://s3.test/uploads/acme/alice/{DOCUMENT}?GET&versionId=v1"
    }
    refused = await content(gateway, redirect="no")
    assert refused.json()["error"]["details"]["fields"].keys() == {"?redirect"}


async def test_an_admin_is_led_to_the_owners_bytes(gateway: Gateway) -> None:
    """By ``?owner=``, in his own tenant; the core is told both."""
    knows(gateway)
    answer = await content(gateway, "root", owner="alice")
    assert answer.status_code == 302
    assert f"/uploads/acme/alice/{DOCUMENT}?" in answer.headers["Location"]
    headers = gateway.core.headers_of(f"GET /v1/documents/{DOCUMENT} ")
    assert (headers["x-kb-subject"], headers["x-kb-actor"]) == ("alice", "root")


async def test_owner_is_for_admins(gateway: Gateway) -> None:
    """The same 403 whoever is named, before anybody is asked."""
    for named in ("alice", "bob", "nobody"):
        answer = await content(gateway, owner=named)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert not any("/v1/" in head for head in gateway.core.heads)


async def test_a_key_that_asks_questions_gets_no_files(gateway: Gateway) -> None:
    """The right is one apart from asking and reading."""
    made = await gateway.client.post(
        "/api/v1/keys",
        json={"name": "k", "scopes": ["query:run", "documents:read"]},
        headers=await gateway.bearer(),
    )
    answer = await gateway.client.get(CONTENT, headers={"X-API-Key": made.json()["secret"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")


async def test_a_document_that_failed_is_409(gateway: Gateway) -> None:
    """It exists, and its bytes are nothing that was ever cited."""
    knows(gateway, status="failed", error="unreadable")
    answer = await content(gateway)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "CONFLICT")
    assert error["details"]["status"] == "failed"


async def test_a_document_that_is_not_there_is_404(gateway: Gateway) -> None:
    """Deleted, unknown and another user's look alike."""
    gateway.core.sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    assert (await content(gateway)).status_code == 404


async def test_the_log_does_not_have_the_address(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads the log must not be able to download."""
    knows(gateway)
    assert (await content(gateway)).status_code == 302
    assert "s3.test" not in "".join(capsys.readouterr())
