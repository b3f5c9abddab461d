"""``AsyncKnowledgeBase``: the client for asyncio. Tasks of one loop may share one."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Coroutine, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, overload

import httpx

from knowledge_base import _calls, _documents
from knowledge_base._answers import StreamLimits, whole_answer
from knowledge_base._asking import Asking
from knowledge_base._async import AsyncIo
from knowledge_base._core import Core
from knowledge_base._decode import decode
from knowledge_base._io import Timeouts, options
from knowledge_base._lists import key_list, passages
from knowledge_base._requests import Request
from knowledge_base._retries import Retries
from knowledge_base._session import Session
from knowledge_base._uploads import OnProgress, OnState, Upload, Wanted
from knowledge_base._urls import checked_url
from knowledge_base.events import Event, Passage
from knowledge_base.models import (
    AccessToken,
    Answer,
    Document,
    DocumentPage,
    Identity,
    Key,
    Uploaded,
    UploadState,
    UsageReport,
)


class AsyncKnowledgeBase:
    """A knowledge base at ``base_url``.

    Args:
        api_key: a key (``kbg_…``), for programs.
        token: an access token that somebody else got.
        username, password: tokens are got with them when they are needed, and again when they end.
        timeouts, retries, limits: how long, how often, how much.
        verify: ``False``, or a context that knows your company's certificates.
        proxy: the proxy's URL; without it those of the environment (``HTTPS_PROXY``) hold.

    Every method raises a ``KnowledgeBaseError`` (``knowledge_base.errors``).
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        limits: StreamLimits | None = None,
        verify: ssl.SSLContext | bool = True,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        session = Session.of(api_key, token, username, password)
        timeouts = timeouts or Timeouts()
        client = httpx.AsyncClient(
            base_url=checked_url(base_url),
            transport=transport,
            **options(timeouts, verify, proxy),
        )
        self._core = Core(AsyncIo(client, timeouts), session, retries or Retries(), timeouts)
        self._limits = limits or StreamLimits()
        self.documents = AsyncDocuments(self._core)
        self.keys = AsyncKeys(self._core)

    async def aclose(self) -> None:
        await self._core.io.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    # --- who asks ---------------------------------------------------------------------------------

    async def login(self, username: str, password: str) -> AccessToken:
        """Logs in. Both are kept, to log in again when the token ends (there is no other way)."""
        return await self._core.log_in(username, password)

    async def logout(self, *, all_tokens: bool = False) -> None:
        """Ends the token, or all that its user has, and forgets name and password."""
        await self._core.call(_calls.log_out(all_tokens=all_tokens))
        self._core.session.forget()

    async def me(self) -> Identity:
        return await self._core.get(Identity, _calls.me())

    # --- questions --------------------------------------------------------------------------------

    @overload
    def ask(
        self,
        query: str,
        *,
        top_k: int | None = None,
        document_ids: Sequence[str] | None = None,
        conversation_id: str | None = None,
        stream: Literal[True] = True,
    ) -> AsyncAnswerStream: ...
    @overload
    def ask(
        self,
        query: str,
        *,
        top_k: int | None = None,
        document_ids: Sequence[str] | None = None,
        conversation_id: str | None = None,
        stream: Literal[False],
    ) -> Coroutine[Any, Any, Answer]: ...
    def ask(
        self,
        query: str,
        *,
        top_k: int | None = None,
        document_ids: Sequence[str] | None = None,
        conversation_id: str | None = None,
        stream: bool = True,
    ) -> AsyncAnswerStream | Coroutine[Any, Any, Answer]:
        """Asks; gives the answer's events as they come, or with ``stream=False`` the whole of it.

        ``document_ids`` narrows the search to some of your documents. The question goes out with
        the first event that is asked for.
        """
        whole_s = None if stream else self._core.timeouts.whole_answer
        request = _calls.ask(query, top_k, document_ids, conversation_id, answer_timeout_s=whole_s)
        if stream:
            return AsyncAnswerStream(Asking(self._core, request, self._limits))
        return self._whole(request)

    async def _whole(self, request: Request) -> Answer:
        return whole_answer((await self._core.call(request)).json())

    async def search(
        self, query: str, *, top_k: int | None = None, document_ids: Sequence[str] | None = None
    ) -> tuple[Passage, ...]:
        """The passages that fit, best first; no answer is written."""
        return passages((await self._core.call(_calls.search(query, top_k, document_ids))).json())

    async def usage(self, *, owner: str | None = None) -> UsageReport:
        """What was used and what is left; of another ``owner``, if you are an admin."""
        return await self._core.get(UsageReport, _calls.usage(owner))


class AsyncAnswerStream:
    """An answer under way: iterate over its events, the last of which is ``Done``.

    Whatever ends it otherwise is raised: what the server said as its ``ApiError``, and
    ``AnswerIncomplete`` where the connection just ended. Leaving the loop, an ``async with``
    block, ``aclose``, or a cancelled task ends the connection at once, and with it the server's
    work on the answer.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while (event := await self._asking.next()) is not None:
                yield event
        finally:
            await self.aclose()

    async def __anext__(self) -> Event:
        event = await self._asking.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def collect(self) -> Answer:
        """Reads what is still to come; the whole answer."""
        async for _ in self:
            pass
        return self.so_far

    @property
    def so_far(self) -> Answer:
        """What was told until now, also when it has ended badly."""
        return self._asking.collected.answer()

    @property
    def request_id(self) -> str | None:
        """What to name when you ask somebody about this answer; known once it has begun."""
        return self._asking.request_id

    async def aclose(self) -> None:
        await self._asking.close()

    async def __aenter__(self) -> Self:
        await self._asking.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class AsyncDocuments:
    """``AsyncKnowledgeBase.documents``."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def upload(
        self,
        path: str | PathLike[str],
        *,
        filename: str | None = None,
        content_type: str | None = None,
        on_progress: OnProgress | None = None,
        on_state: OnState | None = None,
        resume: UploadState | None = None,
        at_once: int = 4,
        idempotency_key: str | None = None,
    ) -> Uploaded:
        """Sends a file straight to the store, with its SHA-256; large ones in parts.

        Args:
            filename, content_type: the file's own name, and what its ending says.
            on_progress: called with each block that went out, from any thread, one call at a time.
            on_state: called when a part is in the store; keep what it is given to go on later.
            resume: where an upload of the same file stopped; if it is too late for that, or the
                file is another one, it begins anew.
            at_once: how many parts are sent at the same time.
            idempotency_key: your own, so that the announcement is known again if you repeat it.

        Raises:
            UploadInterrupted: parts were sent, and then it failed; it has the state to resume.
            StoreRefused, FileChanged, OSError.
        """
        file = Path(path)
        wanted = Wanted(
            file,
            filename or file.name,
            content_type,
            idempotency_key,
            at_once,
            on_progress,
            on_state,
            resume,
        )
        return await Upload(self._core, wanted).run()

    async def watch(
        self, document_id: str, *, owner: str | None = None, timeout: float | None = None
    ) -> AsyncIterator[Document]:
        """The document as it is, and each time that changed, until nothing more will happen."""
        watching = _documents.Watching(self._core, document_id, owner, timeout)
        while (document := await watching.next()) is not None:
            yield document

    async def wait(
        self, document_id: str, *, owner: str | None = None, timeout: float | None = None
    ) -> Document:
        """Until it is indexed. Raises ``IngestFailed`` if it is not, and ``TimedOut``."""
        return await _documents.wait(self._core, document_id, owner, timeout)

    async def get(self, document_id: str, *, owner: str | None = None) -> Document:
        return await self._core.get(Document, _calls.read_document(document_id, owner))

    async def list(self, *, owner: str | None = None) -> AsyncIterator[Document]:
        """All of them, newest first, a hundred with each request."""
        listing = _documents.Listing(self._core, owner)
        while page := await listing.next_page():
            for document in page:
                yield document

    async def page(
        self, *, limit: int | None = None, cursor: str | None = None, owner: str | None = None
    ) -> DocumentPage:
        """Some of them; ``cursor`` is the ``next_cursor`` of the page before."""
        return await self._core.get(DocumentPage, _calls.list_documents(limit, cursor, owner))

    async def delete(self, document_id: str, *, owner: str | None = None) -> None:
        """From the index and from the store. After a failure do it again: it goes on, and
        ``NotFound`` means that nothing is left.
        """
        await self._core.call(_calls.delete_document(document_id, owner))

    async def content_url(self, document_id: str, *, owner: str | None = None) -> str:
        """Where the file is for a minute, for whoever has this address."""
        return await _documents.content_url(self._core, document_id, owner)

    async def download(
        self, document_id: str, to: str | PathLike[str], *, owner: str | None = None
    ) -> None:
        """Writes the file that was indexed to ``to``, once it is whole."""
        await _documents.download(self._core, document_id, Path(to), owner)


class AsyncKeys:
    """``AsyncKnowledgeBase.keys``: API keys, which people make for programs."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        expires_in: int | None = None,
        idempotency_key: str | None = None,
    ) -> Key:
        """A key for these actions, for ``expires_in`` seconds. Its ``secret`` is shown once."""
        request = _calls.create_key(name, scopes, expires_in, idempotency_key)
        return decode(Key, (await self._core.call(request)).json())

    async def list(self, *, owner: str | None = None) -> tuple[Key, ...]:
        """Newest first, those that were revoked, too."""
        return key_list((await self._core.call(_calls.list_keys(owner))).json())

    async def revoke(self, key_id: str, *, owner: str | None = None) -> None:
        await self._core.call(_calls.revoke_key(key_id, owner))

    async def rotate(self, key_id: str, *, overlap: int | None = None) -> Key:
        """With a new secret; the old one works on for ``overlap`` seconds (a day, if not given)."""
        return await self._core.get(Key, _calls.rotate_key(key_id, overlap))
