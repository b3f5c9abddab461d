"""A client of the public API, over httpx: log in, upload, wait, ask. It uses nothing else.

Every failure is a ``StepFailed`` whose sentence says what went wrong (with the gateway's own
message where there is one) and what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from gateway.domain.sse import Event, SseParser

CONTENT_TYPES = {
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".html": "text/html",
    ".htm": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
}
_READ_BYTES = 64 * 1024
_POLL_S = 0.2
# Longer than the gateway's own time-outs, so that its error arrives before we give up.
_TIMEOUT = httpx.Timeout(30.0, read=120.0, write=120.0)
INDEX_LIMIT_S = 15 * 60
_TRIES = 5

Sent = Callable[[int], None]


class StepFailed(Exception):
    """A step of the demo did not work; the message is for the user."""


class NotIndexed(StepFailed):
    """The workflow found a fault in the document; the demo itself works."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way: what the gateway answered to its announcement."""

    path: Path
    size: int
    document_id: str
    workflow_id: str
    ticket: dict[str, Any]
    complete_url: str


class Client:
    """``base_url`` is the gateway's, without a slash at the end; tests give a transport."""

    def __init__(self, base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.base_url = base_url
        self.token = ""
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT, trust_env=False, follow_redirects=False, transport=transport
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def log_in(self, username: str, password: str) -> None:
        body = {"username": username, "password": password}
        answer = await self._call("POST", f"{self.base_url}/auth/login", "logging in", json=body)
        self.token = answer["access_token"]

    # --- Uploading -------------------------------------------------------------------------------

    async def announce(self, path: Path) -> Upload:
        """Announces the file to the gateway: name, type, size, SHA-256."""
        content_type = content_type_of(path)
        size, digest = await asyncio.to_thread(_measure, path)
        body = {
            "filename": path.name,
            "content_type": content_type,
            "size": size,
            "sha256": digest,
        }
        url = f"{self.base_url}/api/v1/documents"
        answer = await self._call("POST", url, f"announcing {path.name}", json=body)
        document_id = answer["document_id"]
        # The gateway may give a whole URL or a path only.
        complete_url = str(httpx.URL(self.base_url).join(answer["complete_url"]))
        return Upload(
            path, size, document_id, answer["workflow_id"], answer["upload"], complete_url
        )

    async def send(self, upload: Upload, sent: Sent) -> list[dict[str, Any]] | None:
        """The bytes, straight to the store; ``sent`` is called for each block.

        Returns the parts' ETags for ``complete`` where the upload goes in parts.
        """
        match upload.ticket["method"]:
            case "POST":
                await self._send_form(upload, sent)
            case "PUT":
                await self._send_put(upload, sent)
            case "MULTIPART":
                return await self._send_parts(upload, sent)
        return None

    async def _send_form(self, upload: Upload, sent: Sent) -> None:
        with upload.path.open("rb") as file:
            # S3 ignores fields that come after the file: httpx's order, fields first, is right.
            response = await self._store(
                "POST",
                upload.ticket["url"],
                data=upload.ticket["fields"],
                files={"file": (upload.path.name, _Counted(file, sent))},
            )
        _expect_stored(response, upload)

    async def _send_put(self, upload: Upload, sent: Sent) -> None:
        with upload.path.open("rb") as file:
            response = await self._store(
                "PUT",
                upload.ticket["url"],
                headers={**upload.ticket["headers"], "Content-Length": str(upload.size)},
                content=_blocks(file, upload.size, sent),
            )
        _expect_stored(response, upload)

    async def _send_parts(self, upload: Upload, sent: Sent) -> list[dict[str, Any]]:
        part_size = int(upload.ticket["part_size"])
        done = []
        with upload.path.open("rb") as file:
            for n, start in enumerate(range(0, upload.size, part_size), start=1):
                length = min(part_size, upload.size - start)
                part = await self._sign_part(upload, n)
                response = await self._store(
                    "PUT",
                    part["url"],
                    headers={**part["headers"], "Content-Length": str(length)},
                    content=_blocks(file, length, sent),
                )
                _expect_stored(response, upload)
                done.append({"n": n, "etag": response.headers["ETag"]})
        return done

    async def _sign_part(self, upload: Upload, n: int) -> dict[str, Any]:
        url = f"{self.base_url}/api/v1/documents/{upload.document_id}/parts"
        answer = await self._call("POST", url, f"asking for part {n}", json={"parts": [n]})
        part: dict[str, Any] = answer["parts"][0]
        return part

    async def complete(self, upload: Upload, parts: list[dict[str, Any]] | None) -> None:
        body = {} if parts is None else {"parts": parts}
        doing = f"completing {upload.path.name}"
        await self._call("POST", upload.complete_url, doing, json=body)

    async def until_indexed(self, upload: Upload, show: Callable[[str], None]) -> None:
        """Waits for the workflow; ``show`` is called with each new state.

        Raises:
            StepFailed: the workflow failed, expired or took longer than ``INDEX_LIMIT_S``.
        """
        url = f"{self.base_url}/api/v1/documents/{upload.document_id}"
        last = ""
        try:
            async with asyncio.timeout(INDEX_LIMIT_S):
                while True:
                    document = await self._call("GET", url, f"asking about {upload.path.name}")
                    state = describe(document)
                    if state != last:
                        show(state)
                        last = state
                    if _is_indexed(document, upload.path):
                        return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as exc:
            raise StepFailed(
                f"{upload.path.name} was not indexed in {INDEX_LIMIT_S // 60} minutes;"
                f" its last state: {last}."
            ) from exc

    # --- Asking ----------------------------------------------------------------------------------

    async def ask(self, question: str) -> AsyncIterator[Event]:
        """The answer's events, as they come.

        Raises:
            StepFailed: refused, or the stream ended without ``done``.
        """
        request = self._http.build_request(
            "POST",
            f"{self.base_url}/api/v1/query",
            json={"query": question},
            headers={"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"},
        )
        with _reported("asking"):
            response = await self._http.send(request, stream=True)
        try:
            if response.status_code != 200:
                await response.aread()
                raise StepFailed(f"asking: {_explained(response)}")
            with _reported("reading the answer"):
                async for event in _events(response):
                    yield event
        finally:
            await response.aclose()

    # --- Calls -----------------------------------------------------------------------------------

    async def _call(self, method: str, url: str, doing: str, **arguments: Any) -> dict[str, Any]:
        """One call to the gateway; 503 is tried again, as its ``Retry-After`` asks for."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        for tries_left in reversed(range(_TRIES)):
            with _reported(doing):
                response = await self._http.request(method, url, headers=headers, **arguments)
            if response.status_code != 503 or not tries_left:
                break
            await asyncio.sleep(_retry_after_s(response))
        if not response.is_success:
            raise StepFailed(f"{doing}: {_explained(response)}")
        answer: dict[str, Any] = response.json()
        return answer

    async def _store(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        with _reported("uploading to the store"):
            return await self._http.request(method, url, **arguments)


def content_type_of(path: Path) -> str:
    """By the name's ending. Raises ``StepFailed`` for a kind the gateway does not take."""
    try:
        return CONTENT_TYPES[path.suffix.lower()]
    except KeyError:
        kinds = ", ".join(CONTENT_TYPES)
        raise StepFailed(f"{path.name}: only these kinds can be indexed: {kinds}.") from None


def describe(document: dict[str, Any]) -> str:
    """A document's state for people: ``"reading, 40%"``, ``"failed: …"``, and its warnings."""
    if document["error"]:
        return f"{document['status']}: {document['error']}"
    if document["status"] == "processing" and document.get("progress"):
        return f"{document.get('stage') or 'processing'}, {document['progress']:.0%}"
    return " ".join((str(document["status"]), *document.get("warnings", ())))


def _is_indexed(document: dict[str, Any], path: Path) -> bool:
    if document["status"] in ("failed", "expired"):
        reason = document["error"] or "no reason was given"
        raise NotIndexed(f"{path.name} could not be indexed: {reason}")
    return bool(document["status"] == "indexed")


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    parser = SseParser()
    async for chunk in response.aiter_bytes():
        for event in parser.feed(chunk):
            if event.type == "error":
                raise StepFailed(f"the answer broke off: {_message(json.loads(event.data))}")
            yield event
            if event.type == "done":
                return
    raise StepFailed("the answer broke off without an error event.")


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


class _Counted:
    """A file whose reads are counted; httpx sends it block by block."""

    def __init__(self, file: BinaryIO, sent: Sent) -> None:
        self._file = file
        self._sent = sent

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, *where: int) -> int:
        return self._file.seek(*where)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, count: int = -1) -> bytes:
        block = self._file.read(count)
        self._sent(len(block))
        return block


async def _blocks(file: BinaryIO, length: int, sent: Sent) -> AsyncIterator[bytes]:
    while length and (block := file.read(min(_READ_BYTES, length))):
        length -= len(block)
        yield block
        sent(len(block))


def _expect_stored(response: httpx.Response, upload: Upload) -> None:
    if response.is_success:
        return
    # The store answers in XML, whose <Message> gives the reason.
    raise StepFailed(
        f"the store refused {upload.path.name} with {response.status_code}: {response.text[:500]}"
    )


def _explained(response: httpx.Response) -> str:
    """The gateway's own message, with the id that finds the request in its log."""
    try:
        return f"{response.status_code} {_message(response.json())}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.text[:200]!r}"


def _message(body: dict[str, Any]) -> str:
    error = body["error"]
    request_id = (error.get("details") or {}).get("request_id", "unknown")
    return f"{error['code']}: {error['message']} (request {request_id})"


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return min(float(value), 5.0) if value.isdigit() else 1.0


@contextlib.contextmanager
def _reported(doing: str) -> Iterator[None]:
    """Network errors become sentences."""
    try:
        yield
    except httpx.HTTPError as exc:
        raise StepFailed(f"{doing}: no answer ({str(exc) or type(exc).__name__}).") from exc
