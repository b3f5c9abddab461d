"""``KnowledgeBase``: the client for code that waits. Threads may share one."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, overload

import httpx

from knowledge_base import _calls, _documents
from knowledge_base._answers import StreamLimits, whole_answer
from knowledge_base._asking import Asking
from knowledge_base._core import Core
from knowledge_base._decode import decode
from knowledge_base._io import Timeouts, options
from knowledge_base._lists import key_list, passages
from knowledge_base._retries import Retries
from knowledge_base._session import Session
from knowledge_base._sync import SyncIo, run
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


class KnowledgeBase:
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        session = Session.of(api_key, token, username, password)
        timeouts = timeouts or Timeouts()
        client = httpx.Client(
            base_url=checked_url(base_url),
            transport=transport,
            **options(timeouts, verify, proxy),
        )
        self._core = Core(SyncIo(client, timeouts), session, retries or Retries(), timeouts)
        self._limits = limits or StreamLimits()
        self.documents = Documents(self._core)
        self.keys = Keys(self._core)

    def close(self) -> None:
        run(self._core.io.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- who asks ---------------------------------------------------------------------------------

    def login(self, username: str, password: str) -> AccessToken:
        """Logs in. Both are kept, to log in again when the token ends (there is no other way)."""
        return run(self._core.log_in(username, password))

    def logout(self, *, all_tokens: bool = False) -> None:
        """Ends the token, or all that its user has, and forgets name and password."""
        run(self._core.call(_calls.log_out(all_tokens=all_tokens)))
        self._core.session.forget()

    def me(self) -> Identity:
        return run(self._core.get(Identity, _calls.me()))

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
    ) -> AnswerStream: ...
    @overload
    def ask(
        self,
        query: str,
        *,
        top_k: int | None = None,
        document_ids: Sequence[str] | None = None,
        conversation_id: str | None = None,
        stream: Literal[False],
    ) -> Answer: ...
    def ask(
        self,
        query: str,
        *,
        top_k: int | None = None,
        document_ids: Sequence[str] | None = None,
        conversation_id: str | None = None,
        stream: bool = True,
    ) -> AnswerStream | Answer:
        """Asks; gives the answer's events as they come, or with ``stream=False`` the whole of it.

        ``document_ids`` narrows the search to some of your documents. The question goes out with
        the first event that is asked for.
        """
        whole_s = None if stream else self._core.timeouts.whole_answer
        request = _calls.ask(query, top_k, document_ids, conversation_id, answer_timeout_s=whole_s)
        if stream:
            return AnswerStream(Asking(self._core, request, self._limits))
        return whole_answer(run(self._core.call(request)).json())

    def search(
        self, query: str, *, top_k: int | None = None, document_ids: Sequence[str] | None = None
    ) -> tuple[Passage, ...]:
        """The passages that fit, best first; no answer is written."""
        return passages(run(self._core.call(_calls.search(query, top_k, document_ids))).json())

    def usage(self, *, owner: str | None = None) -> UsageReport:
        """What was used and what is left; of another ``owner``, if you are an admin."""
        return run(self._core.get(UsageReport, _calls.usage(owner)))


class AnswerStream:
    """An answer under way: iterate over its events, the last of which is ``Done``.

    Whatever ends it otherwise is raised: what the server said as its ``ApiError``, and
    ``AnswerIncomplete`` where the connection just ended. Leaving the loop, a ``with`` block, or
    ``close`` ends the connection at once, and with it the server's work on the answer.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def __iter__(self) -> Iterator[Event]:
        try:
            while (event := run(self._asking.next())) is not None:
                yield event
        finally:
            self.close()

    def __next__(self) -> Event:
        event = run(self._asking.next())
        if event is None:
            raise StopIteration
        return event

    def collect(self) -> Answer:
        """Reads what is still to come; the whole answer."""
        for _ in self:
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

    def close(self) -> None:
        run(self._asking.close())

    def __enter__(self) -> Self:
        run(self._asking.open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Documents:
    """``KnowledgeBase.documents``."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def upload(
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
        return run(Upload(self._core, wanted).run())

    def watch(
        self, document_id: str, *, owner: str | None = None, timeout: float | None = None
    ) -> Iterator[Document]:
        """The document as it is, and each time that changed, until nothing more will happen."""
        watching = _documents.Watching(self._core, document_id, owner, timeout)
        while (document := run(watching.next())) is not None:
            yield document

    def wait(
        self, document_id: str, *, owner: str | None = None, timeout: float | None = None
    ) -> Document:
        """Until it is indexed. Raises ``IngestFailed`` if it is not, and ``TimedOut``."""
        return run(_documents.wait(self._core, document_id, owner, timeout))

    def get(self, document_id: str, *, owner: str | None = None) -> Document:
        return run(self._core.get(Document, _calls.read_document(document_id, owner)))

    def list(self, *, owner: str | None = None) -> Iterator[Document]:
        """All of them, newest first, a hundred with each request."""
        listing = _documents.Listing(self._core, owner)
        while page := run(listing.next_page()):
            yield from page

    def page(
        self, *, limit: int | None = None, cursor: str | None = None, owner: str | None = None
    ) -> DocumentPage:
        """Some of them; ``cursor`` is the ``next_cursor`` of the page before."""
        return run(self._core.get(DocumentPage, _calls.list_documents(limit, cursor, owner)))

    def delete(self, document_id: str, *, owner: str | None = None) -> None:
        """From the index and from the store. After a failure do it again: it goes on, and
        ``NotFound`` means that nothing is left.
        """
        run(self._core.call(_calls.delete_document(document_id, owner)))

    def content_url(self, document_id: str, *, owner: str | None = None) -> str:
        """Where the file is for a minute, for whoever has this address."""
        return run(_documents.content_url(self._core, document_id, owner))

    def download(
        self, document_id: str, to: str | PathLike[str], *, owner: str | None = None
    ) -> None:
        """Writes the file that was indexed to ``to``, once it is whole."""
        run(_documents.download(self._core, document_id, Path(to), owner))


class Keys:
    """``KnowledgeBase.keys``: API keys, which people make for programs."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        expires_in: int | None = None,
        idempotency_key: str | None = None,
    ) -> Key:
        """A key for these actions, for ``expires_in`` seconds. Its ``secret`` is shown once."""
        request = _calls.create_key(name, scopes, expires_in, idempotency_key)
        return decode(Key, run(self._core.call(request)).json())

    def list(self, *, owner: str | None = None) -> tuple[Key, ...]:
        """Newest first, those that were revoked, too."""
        return key_list(run(self._core.call(_calls.list_keys(owner))).json())

    def revoke(self, key_id: str, *, owner: str | None = None) -> None:
        run(self._core.call(_calls.revoke_key(key_id, owner)))

    def rotate(self, key_id: str, *, overlap: int | None = None) -> Key:
        """With a new secret; the old one works on for ``overlap`` seconds (a day, if not given)."""
        return run(self._core.get(Key, _calls.rotate_key(key_id, overlap)))
