"""Documents that are there: waited for, gone through, downloaded."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from knowledge_base import _calls
from knowledge_base._core import Core
from knowledge_base._decode import decode
from knowledge_base._io import Response
from knowledge_base._requests import Reply, Request
from knowledge_base._uploads import refusal
from knowledge_base.errors import IngestFailed, ProtocolError, TimedOut
from knowledge_base.models import Document, DocumentPage

_FIRST_POLL_S = 0.25
_LONGEST_POLL_S = 5.0


class Watching:
    """A document each time something changed, until it is settled."""

    def __init__(
        self, core: Core, document_id: str, owner: str | None, timeout_s: float | None
    ) -> None:
        self._core, self._document_id, self._owner = core, document_id, owner
        self._timeout_s, self._began_at = timeout_s, core.now()
        self._etag: str | None = None
        self._poll_s = 0.0
        self._is_over = False

    async def next(self) -> Document | None:
        """Waits for a change; ``None`` once the last one was given.

        Raises:
            TimedOut: it took longer than it may.
        """
        while not self._is_over:
            self._check_time()
            await self._core.io.sleep(self._poll_s)
            self._poll_s = min(max(self._poll_s * 1.5, _FIRST_POLL_S), _LONGEST_POLL_S)
            reply = await self._core.call(
                _calls.read_document(self._document_id, self._owner, self._etag)
            )
            if reply.status == 304:
                continue
            self._etag = reply.headers.get("etag")
            self._poll_s = _FIRST_POLL_S
            document = decode(Document, reply.json())
            self._is_over = document.is_settled
            return document
        return None

    def _check_time(self) -> None:
        taken_s = self._core.now() - self._began_at
        if self._timeout_s is not None and taken_s > self._timeout_s:
            raise TimedOut(
                f"Document {self._document_id} was not indexed within {self._timeout_s:g} s."
            )


async def wait(
    core: Core, document_id: str, owner: str | None, timeout_s: float | None
) -> Document:
    """Raises ``IngestFailed`` and ``TimedOut``."""
    watching = Watching(core, document_id, owner, timeout_s)
    while (document := await watching.next()) is not None:
        if document.is_settled and document.status != "indexed":
            raise IngestFailed(document)
        if document.is_settled:
            break
    assert document is not None, "the last one that is given is settled"
    return document


class Listing:
    """All documents, page by page."""

    def __init__(self, core: Core, owner: str | None) -> None:
        self._core, self._owner = core, owner
        self._cursor: str | None = None
        self._is_over = False

    async def next_page(self) -> tuple[Document, ...]:
        """Empty behind the last one; a page in between may be empty, too, and is passed over."""
        while not self._is_over:
            request = _calls.list_documents(100, self._cursor, self._owner)
            page = await self._core.get(DocumentPage, request)
            self._cursor, self._is_over = page.next_cursor, page.next_cursor is None
            if page.documents:
                return page.documents
        return ()


async def content_url(core: Core, document_id: str, owner: str | None) -> str:
    reply = await core.call(_calls.document_content(document_id, owner))
    location = reply.headers.get("location")
    if reply.status != 302 or not location:
        raise ProtocolError("The answer does not lead to the document.")
    return location


async def download(core: Core, document_id: str, to: Path, owner: str | None) -> None:
    """Writes a file beside ``to`` first, so that half a download never has its name."""
    to, is_special = _looked_at(to)
    url = await content_url(core, document_id, owner)
    response = await core.io.open(Request("GET", url), {})
    try:
        if response.status != 200:
            raise refusal(Reply(response.status, {}, await response.read()))
        if is_special:
            await _write_blocks(core, response, to.open("wb"))
        else:
            await _write(core, response, to)
    finally:
        await response.close()


def _looked_at(to: Path) -> tuple[Path, bool]:
    """Where links lead, and whether it is a pipe or a device, which is written to, not replaced.

    Raises:
        IsADirectoryError: it is a folder.
    """
    if to.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(to))
    is_special = to.exists() and not to.is_file()
    return (to if is_special else to.resolve()), is_special


async def _write(core: Core, response: Response, to: Path) -> None:
    part = to.with_name(f".{to.name}.{secrets.token_hex(4)}.part")
    try:
        await _write_blocks(core, response, part.open("xb"))
        part.replace(to)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


async def _write_blocks(core: Core, response: Response, to: BinaryIO) -> None:
    with to as file:
        while block := await response.read():
            await core.io.apart(lambda block=block: file.write(block))  # type: ignore[misc]
