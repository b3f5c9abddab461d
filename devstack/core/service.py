"""What the core does for its callers, whichever protocol they speak."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devstack.core import event_lines
from devstack.core.documents import Owner, Record, is_document_id, is_name
from devstack.core.errors import InvalidRequest, NotFound, Unauthenticated
from devstack.core.index import IndexBuilder, IndexReader
from devstack.core.query import Event, Question, Questions, Writer
from devstack.core.registry import Registry

logger = logging.getLogger(__name__)

THREADS = 4
BODY_LIMIT_BYTES = 256 * 1024
LARGEST_PAGE = 200

# Of the owner's documents, on every answer that depends on them.
REVISION = "X-KB-Corpus-Revision"


class Service:
    """Questions, searches and documents of one owner at a time."""

    def __init__(
        self,
        registry: Registry,
        reader: IndexReader,
        builder: IndexBuilder,
        writer: Writer,
        line_limit_bytes: int = event_lines.DEFAULT_LIMIT_BYTES,
    ) -> None:
        self._registry = registry
        self._builder = builder
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="query")
        self._questions = Questions(registry, reader, writer, self._threads, line_limit_bytes)
        self._rebuilds: set[asyncio.Task[None]] = set()

    def answer(self, owner: Owner, question: Question) -> AsyncGenerator[Event, None]:
        return self._questions.answer(owner, question)

    async def search(self, owner: Owner, question: Question) -> list[dict[str, Any]]:
        return await self._questions.search(owner, question)

    async def revision(self, owner: Owner) -> str:
        """The owner's revision.

        Asked for before what is answered is read: the answer is never older than it says. After a
        change it is asked for afterwards.
        """
        revision: str = await self._in_thread(self._registry.corpus_revision, owner)
        return revision

    async def page(
        self, owner: Owner, limit: int, cursor: str | None
    ) -> tuple[list[Record], str | None]:
        """The records, and what the next page is asked for with; ``None`` behind the last one."""
        records = await self._in_thread(self._registry.page, owner, limit + 1, cursor)
        page = records[:limit]
        return page, page[-1].document_id if len(records) > limit else None

    async def record(self, owner: Owner, document_id: str) -> Record:
        """Raises ``NotFound``, also for what is no id."""
        found: Record | None = await self._in_thread(
            self._registry.get, owner, _checked(document_id)
        )
        if found is None:
            raise NotFound
        return found

    async def delete(self, owner: Owner, document_id: str) -> None:
        await self._in_thread(self._registry.tombstone, owner, _checked(document_id))
        # No question finds it from here on. Its nodes leave the disk with the next generation,
        # which is started now and not waited for: a large index takes longer than a caller waits.
        task = asyncio.create_task(asyncio.to_thread(self._rebuild, owner), name="rebuild")
        self._rebuilds.add(task)
        task.add_done_callback(self._rebuilds.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._rebuilds)
        self._threads.shutdown(wait=True)

    def _rebuild(self, owner: Owner) -> None:
        try:
            self._builder.refresh(owner)
        except Exception:
            logger.exception("index not rebuilt; the worker's sweep will")

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def check_token(authorization: str, token: bytes) -> None:
    """Raises ``Unauthenticated`` unless it is ``Bearer`` and the core's token."""
    scheme, _, given = authorization.partition(" ")
    # Compared as bytes: compare_digest refuses other than ASCII in texts.
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        given.encode("utf-8", "surrogateescape"), token
    ):
        raise Unauthenticated


def owner_of(tenant: str, subject: str) -> Owner:
    """Raises ``InvalidRequest``, naming the headers that hold no names."""
    faults = {
        header: "expected a name of a-z 0-9 _ - starting with a letter or digit"
        for header, value in (("X-KB-Tenant", tenant), ("X-KB-Subject", subject))
        if not is_name(value)
    }
    if faults:
        raise InvalidRequest(fields=faults)
    return Owner(tenant, subject)


def _checked(document_id: str) -> str:
    if not is_document_id(document_id):
        raise NotFound
    return document_id
