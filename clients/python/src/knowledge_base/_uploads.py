"""A file on its way: announced, sent as a form or in parts, completed."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from knowledge_base import _calls
from knowledge_base._core import Core
from knowledge_base._requests import FileBody, Reply, Request
from knowledge_base.errors import (
    Conflict,
    ConnectionBroken,
    KnowledgeBaseError,
    NotConnected,
    NotFound,
    ProtocolError,
    StoreRefused,
    TimedOut,
    UploadInterrupted,
    ValidationFailed,
)
from knowledge_base.models import Progress, Uploaded, UploadState

_BLOCK_BYTES = 1024 * 1024
# How many parts' addresses are asked for in one call: so many as are sent before they expire.
_SIGNED_AT_ONCE = 4
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
# What a store answers for the moment; 403 may be an address that has expired.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

OnProgress = Callable[[Progress], object]
OnState = Callable[[UploadState], object]


class _Stopped(KnowledgeBaseError):
    """Another part failed, or we were interrupted: this one need not go on."""


@dataclass(frozen=True, slots=True)
class Measured:
    size: int
    sha256: str


def measure(path: Path) -> Measured:
    """Reads the file once."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return Measured(size, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class _Permission:
    method: str
    url: str
    fields: Mapping[str, str] = field(default_factory=dict)
    part_size: int | None = None


@dataclass(frozen=True, slots=True)
class _Ticket:
    document_id: str
    upload: _Permission


@dataclass(frozen=True, slots=True)
class _Part:
    n: int
    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Signed:
    parts: tuple[_Part, ...]


class Tally:
    """Adds up what went out, from any thread, and tells it."""

    def __init__(self, path: Path, total: int, on_progress: OnProgress | None) -> None:
        self._path, self._total, self._on_progress = path, total, on_progress
        self._sent = 0
        self._lock = threading.Lock()
        self.is_stopped = False

    def stop(self) -> None:
        self.is_stopped = True

    def add(self, size: int) -> None:
        """Negative for what has to be sent again."""
        if self.is_stopped and size > 0:
            raise _Stopped
        with self._lock:
            self._sent += size
            if self._on_progress is not None:
                self._on_progress(Progress(self._path, self._sent, self._total))


class Sending:
    """One try to send some bytes of the file; what a failed one told is taken back."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._sent = 0

    def on_sent(self, size: int) -> None:
        self._tally.add(size)
        self._sent += size

    def take_back(self) -> None:
        if self._sent:
            self._tally.add(-self._sent)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be uploaded, and how."""

    path: Path
    filename: str
    content_type: str | None
    idempotency_key: str | None
    at_once: int
    on_progress: OnProgress | None
    on_state: OnState | None
    resume: UploadState | None


class Upload:
    """The whole way of one file to the store."""

    def __init__(self, core: Core, wanted: Wanted) -> None:
        self._core, self._wanted = core, wanted

    async def run(self) -> Uploaded:
        """Raises what ``documents.upload`` says."""
        wanted = self._wanted
        measured = await self._core.io.apart(lambda: measure(wanted.path))
        uploaded = await self._resumed(measured)
        return uploaded or await self._from_the_start(measured)

    async def _resumed(self, measured: Measured) -> Uploaded | None:
        """Goes on with an upload if it is of this file, and still open."""
        state = self._wanted.resume
        if state is None or (state.size, state.sha256) != (measured.size, measured.sha256):
            return None
        try:
            return await self._in_parts(state, measured)
        except UploadInterrupted as exc:
            if isinstance(exc.__cause__, NotFound | Conflict | ValidationFailed):
                return None  # it is over: deleted, expired, or of other parts than it was
            raise

    async def _from_the_start(self, measured: Measured) -> Uploaded:
        wanted = self._wanted
        request = _calls.announce(
            wanted.filename,
            measured.size,
            measured.sha256,
            wanted.content_type,
            wanted.idempotency_key,
        )
        ticket = await self._core.get(_Ticket, request)
        document_id, permission = ticket.document_id, ticket.upload
        if permission.method == "POST":
            return await self._as_form(document_id, permission, measured)
        if permission.method != "MULTIPART" or not permission.part_size:
            raise ProtocolError(f"An upload by {permission.method} was not asked for.")
        state = UploadState(document_id, measured.size, measured.sha256, permission.part_size, {})
        return await self._in_parts(state, measured)

    # --- a form -----------------------------------------------------------------------------------

    async def _as_form(
        self, document_id: str, permission: _Permission, measured: Measured
    ) -> Uploaded:
        wanted = self._wanted
        tally = Tally(wanted.path, measured.size, wanted.on_progress)
        head, tail, content_type = form_around(permission.fields)

        async def once() -> Reply:
            return await self._send(
                tally,
                Request("POST", permission.url, headers={"Content-Type": content_type}),
                FileBody(wanted.path, 0, measured.size, head, tail),
            )

        await self._until_taken(once)
        return await self._complete(document_id, measured, None)

    # --- parts ------------------------------------------------------------------------------------

    async def _in_parts(self, state: UploadState, measured: Measured) -> Uploaded:
        parts = _Parts(self, state)
        try:
            await parts.send()
            etags = sorted(parts.state.etags.items())
            return await self._complete(state.document_id, measured, etags)
        except (KnowledgeBaseError, OSError) as exc:
            raise UploadInterrupted(parts.state) from exc

    # --- both -------------------------------------------------------------------------------------

    async def _send(self, tally: Tally, request: Request, body: FileBody) -> Reply:
        sending = Sending(tally)
        sized = {**request.headers, "Content-Length": str(body.length)}
        body = replace(body, on_sent=sending.on_sent)
        try:
            reply = await self._core.store(replace(request, headers=sized, body=body))
        except BaseException:
            sending.take_back()
            raise
        if not reply.is_success:
            sending.take_back()
        return reply

    async def _until_taken(self, once: Callable[[], Awaitable[Reply]]) -> Reply:
        """Sends until the store takes it; the same bytes may be sent as often as needed."""
        before = 0
        repeatable = Request("PUT", "/", repeat="always")
        while True:
            error: KnowledgeBaseError
            try:
                reply = await once()
                if reply.is_success:
                    return reply
                error = refusal(reply)
                passing = reply.status in _PASSING
            except (NotConnected, ConnectionBroken, TimedOut) as exc:
                error, passing = exc, True
            wait_s = self._core.backoff_s(repeatable, ConnectionBroken(), before)
            if not passing or wait_s is None:
                raise error
            before += 1
            await self._core.io.sleep(wait_s)

    async def _complete(
        self, document_id: str, measured: Measured, etags: Sequence[tuple[int, str]] | None
    ) -> Uploaded:
        await self._core.call(_calls.complete(document_id, etags))
        return Uploaded(document_id, self._wanted.filename, measured.size, measured.sha256)


class _Parts:
    """The parts of one upload, several at once."""

    def __init__(self, upload: Upload, state: UploadState) -> None:
        self.state = state
        self._upload = upload
        self._core, self._wanted = upload._core, upload._wanted
        self._lock = threading.Lock()
        self._signing = self._core.io.lock()
        self._ready: deque[_Part] = deque()
        self._todo = deque(n for n in range(1, state.parts + 1) if n not in state.etags)
        self._tally = Tally(self._wanted.path, state.size, self._wanted.on_progress)

    async def send(self) -> None:
        known = sum(self._size(n) for n in self.state.etags)
        if known:
            self._tally.add(known)
        self._tell()
        workers = min(self._wanted.at_once, len(self._todo) or 1)
        await self._core.io.together([self._work() for _ in range(workers)], self._stop)

    def _stop(self) -> None:
        self._todo.clear()
        self._tally.stop()

    async def _work(self) -> None:
        while (part := await self._next()) is not None:
            await self._send(part)

    async def _next(self) -> _Part | None:
        """All take from one queue, so that a part that is slow holds no other up."""
        async with self._signing:
            if not self._ready and (numbers := self._take()):
                self._ready.extend(await self._signed(numbers))
            return self._ready.popleft() if self._ready else None

    def _take(self) -> list[int]:
        return [self._todo.popleft() for _ in range(min(_SIGNED_AT_ONCE, len(self._todo)))]

    async def _signed(self, numbers: Sequence[int]) -> tuple[_Part, ...]:
        request = _calls.sign_parts(self.state.document_id, numbers)
        parts = (await self._core.get(_Signed, request)).parts
        if [part.n for part in parts] != list(numbers):
            raise ProtocolError("Other parts were signed than were asked for.")
        return parts

    async def _send(self, part: _Part) -> None:
        try:
            reply = await self._until_taken(part)
        except StoreRefused as exc:
            if exc.status != 403:
                raise
            # Its address may have expired while others were sent.
            (again,) = await self._signed([part.n])
            reply = await self._until_taken(again)
        etag = reply.headers.get("etag")
        if not etag:
            raise ProtocolError("The object store gave a part no ETag.")
        with self._lock:
            self.state = replace(self.state, etags={**self.state.etags, part.n: etag})
            self._tell()

    async def _until_taken(self, part: _Part) -> Reply:
        offset = (part.n - 1) * self.state.part_size
        body = FileBody(self._wanted.path, offset, self._size(part.n))
        request = Request("PUT", part.url, headers=part.headers)
        return await self._upload._until_taken(
            lambda: self._upload._send(self._tally, request, body)
        )

    def _size(self, n: int) -> int:
        return min(self.state.part_size, self.state.size - (n - 1) * self.state.part_size)

    def _tell(self) -> None:
        if self._wanted.on_state is not None:
            self._wanted.on_state(self.state)


def form_around(fields: Mapping[str, str]) -> tuple[bytes, bytes, str]:
    """A multipart form with ``fields``, and the file as its last one: what stands before its bytes,
    what behind them, and the content type (RFC 7578).
    """
    boundary = secrets.token_hex(16)
    head = b"".join(
        _field(boundary, name) + f"\r\n\r\n{value}\r\n".encode() for name, value in fields.items()
    )
    head += _field(boundary, "file") + b'; filename="file"\r\n\r\n'
    return head, f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _field(boundary: str, name: str) -> bytes:
    plain = quote(name, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{plain}"'.encode()


def refusal(reply: Reply) -> StoreRefused:
    found = _CODE.search(reply.body)
    return StoreRefused(reply.status, found[1].decode() if found else "")
