"""A gateway and its store in memory, for what they answer to single requests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import httpx

ID = "0199f0c2-0000-7000-8000-000000000001"
Answer = httpx.Response | Exception
PART_BYTES = 8


def told(status: int, body: Any = None, **headers: str) -> httpx.Response:
    fields = {name.replace("_", "-"): text for name, text in headers.items()}
    return (
        httpx.Response(status, headers=fields, json=body)
        if body is not None
        else httpx.Response(status, headers=fields)
    )


def refused(status: int, code: str, **headers: str) -> httpx.Response:
    details = {"request_id": "r-1"}
    body = {"error": {"code": code, "message": "No.", "details": details}}
    return told(status, body, **headers)


class FakeServer:
    """Gives ``answers`` one after the other, and then what ``usual`` says."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[Answer] = []
        self.usual: Callable[[httpx.Request], Answer] = lambda request: told(200, {})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._answer(request)

    async def later(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else self.usual(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sent(self, path: str) -> list[httpx.Request]:
        return [one for one in self.requests if one.url.path == path]


class FakeStore:
    """The gateway's upload routes and a store that keeps what it is sent, each part as often."""

    def __init__(self, *, in_parts: bool) -> None:
        self.in_parts = in_parts
        self.kept: dict[int, bytes] = {}
        self.form = b""
        self.completed: Any = None
        # Called with a part's number (0 for a form) before it is taken; what it gives is answered.
        self.fails: Callable[[int], Answer | None] = lambda n: None
        self.announced: list[dict[str, Any]] = []
        self.signed: list[int] = []

    def __call__(self, request: httpx.Request) -> Answer:
        path = request.url.path
        if request.url.host == "store":
            assert "authorization" not in request.headers
            return self._store(request, int(request.url.params.get("n", 0)))
        if path.endswith("/documents"):
            return self._announce(json.loads(request.content))
        if path.endswith("/parts"):
            return self._sign(json.loads(request.content)["parts"])
        assert path.endswith("/complete")
        self.completed = json.loads(request.content)
        return told(202, {"document_id": ID, "status": "processing"})

    def _announce(self, body: dict[str, Any]) -> Answer:
        self.announced.append(body)
        upload: dict[str, Any] = {"url": "http://store/form", "expires_at": "2027-01-01T00:00:00Z"}
        if self.in_parts:
            upload |= {"method": "MULTIPART", "part_size": PART_BYTES}
        else:
            upload |= {"method": "POST", "fields": {"key": "k", "x-amz-meta-filename": "ü"}}
        about = {"document_id": ID, "workflow_id": "w", "complete_url": "/"}
        return told(201, {**about, "upload": upload})

    def _sign(self, numbers: list[int]) -> Answer:
        self.signed += numbers
        parts = [
            {
                "n": n,
                "url": f"http://store/part?n={n}",
                "headers": {"X-Signed": "1"},
                "expires_at": "",
            }
            for n in numbers
        ]
        return told(200, {"parts": parts})

    def _store(self, request: httpx.Request, n: int) -> Answer:
        failure = self.fails(n)
        if failure is not None:
            return failure
        if not n:
            self.form = file_of(request)
            return told(204)
        assert request.headers["x-signed"] == "1"
        self.kept[n] = request.content
        return told(200, ETag=f'"{hashlib.md5(request.content).hexdigest()}"')

    @property
    def whole(self) -> bytes:
        return b"".join(self.kept[n] for n in sorted(self.kept))


def file_of(request: httpx.Request) -> bytes:
    """The last field of a form, whose others have to stand before it."""
    found = re.fullmatch(r"multipart/form-data; boundary=(\w+)", request.headers["content-type"])
    assert found is not None
    assert int(request.headers["content-length"]) == len(request.content)
    parts = request.content.split(b"--" + found[1].encode())
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    assert b'name="key"\r\n\r\nk\r\n' in parts[1]
    assert 'name="x-amz-meta-filename"\r\n\r\nü\r\n'.encode() in parts[2]
    head, _, body = parts[-2].partition(b"\r\n\r\n")
    assert b'name="file"; filename="file"' in head
    return body.removesuffix(b"\r\n")
