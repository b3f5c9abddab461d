"""The core over HTTP (contract, section 5): httpx's exceptions and the core's statuses end here.

A query is opened and its head checked; the body is handed on as it comes. Document calls are
bounded as a whole. Nothing the core wrote leaves through an error: its texts are not for clients.
Which address a call goes to, and whether it is made again, is ``core_calls``'s to decide.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import httpx
import msgspec

from gateway.adapters.core_adapter import (
    NAMES_ITS_CODE,
    CoreAdapter,
    MakeCalls,
    checked_id,
    refusal,
    refuse_for,
    unhealthy,
)
from gateway.adapters.core_calls import (
    Answered,
    Call,
    CoreCalls,
    CoreTimeouts,
    raise_for_transport,
)
from gateway.adapters.core_requests import HttpWay
from gateway.adapters.core_stream import HttpCoreStream, retry_after_s
from gateway.domain import core_json
from gateway.domain.balancing import Balancer, Lease, Outcome, Work
from gateway.domain.core_records import (
    MOST_PASSAGES,
    Passage,
    page_fault,
    passages_fault,
    record_fault,
)
from gateway.domain.corpus_revision import is_revision
from gateway.domain.documents import CoreDocument
from gateway.domain.stream import core_error_code
from gateway.errors import CoreLacks, CoreProtocolError, CoreTimeout
from gateway.http_client.transport import Body, CoreTransport
from gateway.ports import CorePage, OnBehalfOf

__all__ = ["CoreHttp", "CoreTimeouts", "HttpCoreStream"]

log = logging.getLogger("gateway.core")

_ABSENT = frozenset({404})
# What servers say to a path, or to a method on it, that they do not have.
_NO_SUCH_CALL = frozenset({404, 405, 501})


class _Page(msgspec.Struct):
    documents: list[CoreDocument]
    next_cursor: str | None


class _Passages(msgspec.Struct):
    passages: list[Passage]


class _Revision(msgspec.Struct):
    revision: str


_DOCUMENT = msgspec.json.Decoder(CoreDocument)
_PAGE = msgspec.json.Decoder(_Page)
_PASSAGES = msgspec.json.Decoder(_Passages)
_REVISION = msgspec.json.Decoder(_Revision)


class CoreHttp(CoreAdapter[Body]):
    """Implements ``ports.Core``; see ``CoreAdapter`` for what is not said here.

    Args:
        transport: whoever made it closes it.
        body_limit_bytes: the largest document answer that is read.
    """

    def __init__(
        self,
        transport: CoreTransport,
        cores: Sequence[str] | Balancer,
        token: str,
        *,
        timeouts: CoreTimeouts,
        body_limit_bytes: int,
        calls: MakeCalls[Body] = CoreCalls,
    ) -> None:
        super().__init__(HttpWay(transport), cores, token, timeouts=timeouts, calls=calls)
        self._body_limit_bytes = body_limit_bytes

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> HttpCoreStream:
        """Opens the stream: when this returns, its head is a 200 with an event stream behind it.

        Raises:
            CoreUnavailable, CoreProtocolError, CoreTimeout, Overloaded, ValidationFailed, NotFound.
        """
        headers = {
            **self._headers(who),
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
        }
        content, sent_at = msgspec.json.encode(body), self._now()
        try:
            async with asyncio.timeout(self._timeouts.head_s) as bound:
                call = Call(
                    *("POST", "/v1/query", headers, bound.expired, content, on_sent),
                    work=Work.QUESTION,
                )
                answered = await self._calls.send(call)
        except TimeoutError as exc:
            raise CoreTimeout from exc
        try:
            await self._check_stream_head(answered.body)
        except BaseException:
            answered.close()
            raise
        self._overhear(who, answered.body, sent_at)
        return HttpCoreStream(answered)

    async def search(self, who: OnBehalfOf, body: Mapping[str, Any]) -> Sequence[Passage]:
        """Somebody else's documents name nothing to a search: a core that has one never says 404.

        Raises:
            CoreLacks: the core has no such call.
        """
        content = msgspec.json.encode(body)
        status, answer = await self._call(
            Work.SEARCH, "/v1/search", who, also=_NO_SUCH_CALL, content=content
        )
        if status in _NO_SUCH_CALL:
            log.warning("core_has_no_search", extra={"status": status})
            raise CoreLacks("The core of this knowledge base has no search.")
        passages = core_json.decode(_PASSAGES, answer).passages
        most, document_ids = body.get("top_k", MOST_PASSAGES), body.get("document_ids")
        refuse_for(passages_fault(passages, most=most, document_ids=document_ids))
        return passages

    async def revision(self, who: OnBehalfOf) -> str | None:
        """The revision of their documents now; ``None`` where it is none that a core may name.

        Raises:
            CoreLacks: the core has no such call.
        """
        status, body = await self._call(Work.REVISION, "/v1/revision", who, also=_NO_SUCH_CALL)
        if status in _NO_SUCH_CALL:
            raise CoreLacks("The core of this knowledge base tells no revision.")
        revision = core_json.decode(_REVISION, body).revision
        return revision if is_revision(revision) else None

    async def list_documents(self, who: OnBehalfOf, *, limit: int, cursor: str | None) -> CorePage:
        query = {"limit": str(limit)} | ({"cursor": cursor} if cursor is not None else {})
        status, body = await self._call(Work.LIST, f"/v1/documents?{urlencode(query)}", who)
        if status != 200:
            raise CoreProtocolError
        page = core_json.decode(_PAGE, body)
        refuse_for(page_fault(page.documents, limit=limit, before=cursor))
        return CorePage(documents=page.documents, more=page.next_cursor is not None)

    async def get_document(self, who: OnBehalfOf, document_id: str) -> CoreDocument | None:
        status, body = await self._call(Work.READ, _document_path(document_id), who, also=_ABSENT)
        if status == 404:
            return None
        if status != 200:
            raise CoreProtocolError
        document = core_json.decode(_DOCUMENT, body)
        refuse_for(record_fault(document))
        if document.document_id != document_id:
            raise CoreProtocolError
        return document

    async def delete_document(self, who: OnBehalfOf, document_id: str) -> None:
        """A document that the core does not know counts as deleted."""
        await self._call(Work.DELETE, _document_path(document_id), who, also=_ABSENT)

    async def _check_at(self, lease: Lease, late: Callable[[], bool]) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        answered = await self._calls.send_once(lease, Call("GET", "/healthz", headers, late))
        try:
            status = answered.body.status
            if status == 200:
                await self._read_whole(answered, late)
        finally:
            answered.close()
        if status != 200:
            raise unhealthy(status)

    async def _call(
        self,
        work: Work,
        target: str,
        who: OnBehalfOf,
        *,
        also: frozenset[int] = frozenset(),
        content: bytes | None = None,
    ) -> tuple[int, bytes]:
        """One call that changes nothing twice, bounded as a whole.

        Gives its status (2xx, or one of ``also``, where no body is read) and its body.
        """
        headers, sent_at = {**self._headers(who), "Accept": "application/json"}, self._now()
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with asyncio.timeout(self._timeouts.call_s) as bound:
                call = Call(
                    *(work.method, target, headers, bound.expired, content, None),
                    *(self._timeouts.call_s, True, work),
                )
                answered = await self._calls.send(call)
                try:
                    status = answered.body.status
                    if 200 <= status < 300:
                        # What follows a change was read after it, however long ago it was sent.
                        changes = work is Work.DELETE
                        told_at = self._now() if changes else sent_at
                        self._overhear(who, answered.body, told_at)
                        return status, await self._read_whole(answered, bound.expired)
                    if status in also:
                        answered.end(Outcome.GOOD)
                        return status, b""
                    await self._raise_for_status(answered.body)
                finally:
                    answered.close()
        except TimeoutError as exc:
            raise CoreTimeout from exc
        except httpx.TransportError as exc:
            raise_for_transport(exc)

    async def _check_stream_head(self, answer: Body) -> None:
        if answer.status != 200:
            await self._raise_for_status(answer)
        media_type = (answer.header(b"content-type") or "").partition(";")[0].strip().lower()
        coding = _coding(answer)
        if media_type != "text/event-stream" or coding != "identity":
            log.error("core_wrong_stream_head", extra={"media_type": media_type, "coding": coding})
            raise CoreProtocolError

    async def _raise_for_status(self, answer: Body) -> NoReturn:
        """What a status that is no success means to a client of ours."""
        code = None
        if answer.status in NAMES_ITS_CODE:
            code = core_error_code(await self._error_body(answer))
        raise refusal(answer.status, code, retry_after_s(answer))

    async def _error_body(self, answer: Body) -> bytes:
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                return await self._read_bounded(answer)
        except (TimeoutError, httpx.TransportError, CoreProtocolError):
            return b""

    async def _read_whole(self, answered: Answered[Body], late: Callable[[], bool]) -> bytes:
        """The body of a call that ends with it, and so does its word on the address."""
        try:
            body = await self._read_bounded(answered.body)
        except (httpx.TransportError, CoreProtocolError):
            answered.end(Outcome.FAILED)
            raise
        except asyncio.CancelledError:
            answered.end(Outcome.FAILED if late() else Outcome.UNKNOWN)
            raise
        answered.end(Outcome.GOOD)
        return body

    async def _read_bounded(self, answer: Body) -> bytes:
        if _coding(answer) != "identity":
            raise CoreProtocolError
        body = await answer.whole(self._body_limit_bytes)
        if body is None:
            raise CoreProtocolError
        return body


def _coding(answer: Body) -> str:
    return (answer.header(b"content-encoding") or "identity").lower()


def _document_path(document_id: str) -> str:
    return f"/v1/documents/{quote(checked_id(document_id), safe='')}"
