"""Announcements as real clients spell them: forms byte by byte, content types as they are told.

What the store signs and the workflow is told is always the one canonical type.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.domain.documents import DOCX, Announced

from .conftest import Gateway, running_gateway
from .raw import Answer, exchange, request
from .stub_core import stub_core

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELDS = {"filename": "notes.md", "content_type": "text/markdown", "size": "5"}
PLAIN = 'Content-Disposition: form-data; name="{name}"'
HTTP_CLIENT_4 = f"{PLAIN}\r\nContent-Type: text/plain; charset=ISO-8859-1"

# Each client's head of a part, its boundary, and what stands in the form's own Content-Type.
CLIENTS: dict[str, tuple[str, str, str]] = {
    "curl": (PLAIN, "------------------------d74496d66958873e", "boundary={boundary}"),
    "Chrome": (PLAIN, "----WebKitFormBoundary7MA4YWxkTrZu0gW", "boundary={boundary}"),
    "Firefox": (PLAIN, "----geckoformboundary8c2a1d6e0d1f", "boundary={boundary}"),
    "Python's requests": (PLAIN, "6ba2b9c0f1d24c7e", "boundary={boundary}"),
    "Apache HttpClient 4": (
        f"{HTTP_CLIENT_4}\r\nContent-Transfer-Encoding: 8bit",
        "zV3v_Ub-1kDk2",
        "boundary={boundary}",
    ),
    "Apache HttpClient 5": (HTTP_CLIENT_4, "httpclient_boundary_f00", "boundary={boundary}"),
    "Python's email": (
        f'Content-Type: text/plain; charset="us-ascii"\r\nMIME-Version: 1.0\r\n'
        f"Content-Transfer-Encoding: 7bit\r\n{PLAIN}",
        "===============4711==",
        'boundary="{boundary}"',
    ),
    "aiohttp": (
        f"Content-Type: text/plain; charset=utf-8\r\n{PLAIN}",
        "1b3c5d7e9f",
        "boundary={boundary}",
    ),
    ".NET HttpClient": (
        "Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name={name}",
        "5f0c3a3e-7b1b-4c3e-9d1f-1c2d3e4f5a6b",
        'boundary="{boundary}"',
    ),
    "Spring": (
        f"{PLAIN}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {{length}}",
        "Qm0fYk-_l9",
        "charset=UTF-8;boundary={boundary}",
    ),
    "OkHttp": (f"{PLAIN}\r\nContent-Length: {{length}}", "a1b2-c3d4", "boundary={boundary}"),
    "Retrofit": (
        f"{PLAIN}\r\nContent-Transfer-Encoding: binary\r\n"
        "Content-Type: text/plain; charset=UTF-8\r\nContent-Length: {length}",
        "a1b2-c3d4",
        "boundary={boundary}",
    ),
    "Dart's http": (
        'content-disposition: form-data; name="{name}"\r\n'
        "content-type: text/plain; charset=utf-8\r\ncontent-transfer-encoding: binary",
        "dart-http-boundary-Ab+c",
        "boundary={boundary}",
    ),
}

# What is told of which file, and what the gateway makes of it.
TYPES = [
    ("a.pdf", "Application/PDF", "application/pdf"),
    ("a.pdf", "application/x-pdf", "application/pdf"),
    ("A.PDF", "", "application/pdf"),
    ("a.pdf", 'application/pdf; name="a.pdf"', "application/pdf"),
    ("a.docx", "application/octet-stream", DOCX),
    ("a.docx", DOCX.upper(), DOCX),
    ("a.htm", "text/html; charset=UTF-8", "text/html"),
    ("notes.md", "", "text/markdown"),
    ("notes.md", None, "text/markdown"),
    ("notes.md", "application/octet-stream", "text/markdown"),
    ("notes.md", "binary/octet-stream", "text/markdown"),
    ("notes.markdown", "text/x-markdown", "text/markdown"),
    ("notes.md", "TEXT/X-Web-Markdown ; charset=utf-8", "text/markdown"),
    ("a.txt", "text/plain;charset=utf-8", "text/plain"),
    ("a.txt", "Application/Octet-Stream; x=y", "text/plain"),
]
REFUSED = [
    ("a.exe", "", "content_type"),
    ("a", "application/octet-stream", "content_type"),
    ("a.png", "image/png", "content_type"),
    ("a.txt", "text", "content_type"),
    ("a.txt", "application/x-pdf", "filename"),
    ("notes.md", "text/plain; x=text/markdown", "filename"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with stub_core() as core, running_gateway(core) as running:
        yield running


def form(head: str, boundary: str, fields: dict[str, str]) -> bytes:
    parts = []
    for name, text in fields.items():
        spelled = head.format(name=name, length=len(text))
        parts.append(f"--{boundary}\r\n{spelled}\r\n\r\n{text}\r\n")
    return "".join([*parts, f"--{boundary}--\r\n"]).encode()


async def announce(gateway: Gateway, content_type: str, body: bytes) -> Answer:
    headers = {**await gateway.bearer(), "Content-Type": content_type}
    return await exchange(gateway.address, request("POST", "/api/v1/documents", headers, body))


def told(gateway: Gateway, answer: Answer) -> Announced:
    """What the workflow was started with."""
    assert answer.status == 201, answer.body
    return gateway.workflows.started[json.loads(answer.body)["workflow_id"]].announced


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_form_is_taken_as_its_client_spells_it(gateway: Gateway, client: str) -> None:
    """ASCII is ASCII under whatever charset a client always declares."""
    head, boundary, parameters = CLIENTS[client]
    content_type = f"multipart/form-data; {parameters.format(boundary=boundary)}"
    answer = await announce(gateway, content_type, form(head, boundary, FIELDS))
    kept = told(gateway, answer)
    assert (kept.filename, kept.content_type, kept.size) == ("notes.md", "text/markdown", 5)


@pytest.mark.parametrize("charset", ["ISO-8859-1", "US-ASCII", "latin1"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
async def test_beyond_ascii_a_declared_charset_must_be_utf_8(
    gateway: Gateway, charset: str, encoding: str
) -> None:
    """Bytes that two charsets read differently are refused, and the field is named."""
    head = f"{PLAIN}\r\nContent-Type: text/plain; charset={charset}"
    fields = form(head, "x", {**FIELDS, "filename": "NAME.md"})
    body = fields.replace(b"NAME", "Übersicht".encode(encoding))
    answer = await announce(gateway, "multipart/form-data; boundary=x", body)
    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
    assert set(json.loads(answer.body)["error"]["details"]["fields"]) == {"filename"}


@pytest.mark.parametrize(("filename", "spelled", "canonical"), TYPES)
async def test_a_type_is_kept_in_its_one_spelling(
    gateway: Gateway, filename: str, spelled: str | None, canonical: str
) -> None:
    """Case, parameters, other names and silence all lead to the canonical type, in JSON too."""
    fields = {"filename": filename, "size": "5"}
    if spelled is not None:
        fields["content_type"] = spelled
    as_form = await announce(gateway, "multipart/form-data; boundary=x", form(PLAIN, "x", fields))
    as_json = await announce(
        gateway,
        "application/json",
        json.dumps({"filename": filename, "content_type": spelled, "size": 5}).encode(),
    )
    for answer in (as_form, as_json):
        assert told(gateway, answer).content_type == canonical


@pytest.mark.parametrize(("filename", "spelled", "field"), REFUSED)
async def test_a_type_that_is_not_taken_is_named(
    gateway: Gateway, filename: str, spelled: str, field: str
) -> None:
    """Neither an ending nor a parameter makes a type of one that is not allowed."""
    body = {"filename": filename, "content_type": spelled, "size": 5}
    answer = await announce(gateway, "application/json", json.dumps(body).encode())
    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
    assert set(json.loads(answer.body)["error"]["details"]["fields"]) == {field}
