"""The core over gRPC (``proto/knowledge/core/v1``): its statuses and messages end here.

What is asked, checked and promised is what it is over REST (``core_http``), and so are the
addresses, the retries and what ejects an address (``core_calls``). Imported only where
``GATEWAY_SERVICES_CORE`` names such addresses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from grpc_health.v1 import health_pb2

from gateway.adapters import core_grpc_messages as messages
from gateway.adapters.core_adapter import (
    CoreAdapter,
    MakeCalls,
    checked_id,
    refusal,
    refuse_for,
    unhealthy,
)
from gateway.adapters.core_calls import Answered, Call, CoreCalls, CoreTimeouts, raise_for_transport
from gateway.adapters.core_grpc_connections import CORE_SERVICE, GrpcConnections
from gateway.adapters.core_grpc_stream import GrpcCoreStream
from gateway.adapters.core_grpc_way import QUERY, GrpcAnswer, GrpcWay
from gateway.adapters.core_proto import core_pb2 as pb
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
from gateway.errors import CoreLacks, CoreProtocolError, CoreTimeout
from gateway.ports import CorePage, OnBehalfOf

log = logging.getLogger("gateway.core")

HEALTH = "/grpc.health.v1.Health/Check"
_LACKS = frozenset({501})
_ABSENT = frozenset({404})
NOT_SERVING = 503


class CoreGrpc(CoreAdapter[GrpcAnswer]):
    """Implements ``ports.Core``; see ``CoreAdapter`` for what is not said here.

    Args:
        connections: whoever made them closes them.
        answer_s: the deadline of an answer, which the core is told; ``None`` for none.
    """

    def __init__(
        self,
        connections: GrpcConnections,
        cores: Sequence[str] | Balancer,
        token: str,
        *,
        timeouts: CoreTimeouts,
        answer_s: float | None = None,
        calls: MakeCalls[GrpcAnswer] = CoreCalls,
    ) -> None:
        way = GrpcWay(connections, answer_s=answer_s)
        super().__init__(way, cores, token, timeouts=timeouts, calls=calls)
        self._lines = messages.EventLines()

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> GrpcCoreStream:
        """Opens the stream: when this returns, the core has begun to answer.

        Raises:
            CoreUnavailable, CoreProtocolError, CoreTimeout, Overloaded, ValidationFailed, NotFound.
        """
        content, sent_at = messages.question(body), self._now()
        try:
            async with asyncio.timeout(self._timeouts.head_s) as bound:
                call = Call(
                    *("POST", QUERY, self._metadata(who), bound.expired, content, on_sent),
                    work=Work.QUESTION,
                )
                answered = await self._send(call)
        except TimeoutError as exc:
            raise CoreTimeout from exc
        if answered.body.status != 200:
            answered.close()
            raise _refusal(answered.body)
        self._overhear(who, answered.body, sent_at)
        return GrpcCoreStream(answered, self._lines)

    async def search(self, who: OnBehalfOf, body: Mapping[str, Any]) -> Sequence[Passage]:
        """Raises ``CoreLacks`` where the core has no such call."""
        answer = await self._call(Work.SEARCH, "Search", who, messages.search(body), also=_LACKS)
        if answer.status != 200:
            log.warning("core_has_no_search", extra={"status": answer.status})
            raise CoreLacks("The core of this knowledge base has no search.")
        found = messages.read(pb.SearchResponse, answer.message or b"")
        passages = [messages.passage(one) for one in found.passages]
        most, document_ids = body.get("top_k", MOST_PASSAGES), body.get("document_ids")
        refuse_for(passages_fault(passages, most=most, document_ids=document_ids))
        return passages

    async def revision(self, who: OnBehalfOf) -> str | None:
        """The revision of their documents now; ``None`` where it is none that a core may name.

        Raises:
            CoreLacks: the core has no such call.
        """
        answer = await self._call(Work.REVISION, "GetRevision", who, b"", also=_LACKS)
        if answer.status != 200:
            raise CoreLacks("The core of this knowledge base tells no revision.")
        revision = messages.read(pb.GetRevisionResponse, answer.message or b"").revision
        return revision if is_revision(revision) else None

    async def list_documents(self, who: OnBehalfOf, *, limit: int, cursor: str | None) -> CorePage:
        request = pb.ListDocumentsRequest(limit=limit, cursor=cursor)
        answer = await self._call(Work.LIST, "ListDocuments", who, request.SerializeToString())
        page = messages.read(pb.ListDocumentsResponse, answer.message or b"")
        documents = [messages.document(one) for one in page.documents]
        refuse_for(page_fault(documents, limit=limit, before=cursor))
        return CorePage(documents=documents, more=page.HasField("next_cursor"))

    async def get_document(self, who: OnBehalfOf, document_id: str) -> CoreDocument | None:
        request = pb.GetDocumentRequest(document_id=checked_id(document_id)).SerializeToString()
        answer = await self._call(Work.READ, "GetDocument", who, request, also=_ABSENT)
        if answer.status != 200:
            return None
        found = messages.read(pb.GetDocumentResponse, answer.message or b"").document
        document = messages.document(found)
        refuse_for(record_fault(document))
        if document.document_id != document_id:
            raise CoreProtocolError
        return document

    async def delete_document(self, who: OnBehalfOf, document_id: str) -> None:
        """A document that the core does not know counts as deleted."""
        request = pb.DeleteDocumentRequest(document_id=checked_id(document_id))
        content = request.SerializeToString()
        await self._call(Work.DELETE, "DeleteDocument", who, content, also=_ABSENT)

    async def _check_at(self, lease: Lease, late: Callable[[], bool]) -> None:
        metadata = {"authorization": f"Bearer {self._token}"}
        answered = await self._calls.send_once(lease, Call("GET", HEALTH, metadata, late))
        try:
            status = _health(answered.body)
            if status in (200, NOT_SERVING):
                answered.end(Outcome.GOOD if status == 200 else Outcome.FAILED)
        finally:
            answered.close()
        if status != 200:
            raise unhealthy(status)

    def _metadata(self, who: OnBehalfOf) -> dict[str, str]:
        return {name.lower(): value for name, value in self._headers(who).items()}

    async def _send(self, call: Call) -> Answered[GrpcAnswer]:
        try:
            return await self._calls.send(call)
        except httpx.TransportError as exc:
            raise_for_transport(exc)

    async def _call(
        self,
        work: Work,
        name: str,
        who: OnBehalfOf,
        content: bytes,
        *,
        also: frozenset[int] = frozenset(),
    ) -> GrpcAnswer:
        """One call that changes nothing twice, bounded as a whole; its status is 200 or in
        ``also``."""
        metadata, sent_at = self._metadata(who), self._now()
        try:
            async with asyncio.timeout(self._timeouts.call_s) as bound:
                call = Call(
                    *(work.method, f"/{CORE_SERVICE}/{name}", metadata, bound.expired, content),
                    *(None, self._timeouts.call_s, True, work),
                )
                answered = await self._send(call)
        except TimeoutError as exc:
            raise CoreTimeout from exc
        answer = answered.body
        known = answer.status == 200 or answer.status in also
        answered.end(Outcome.GOOD if known else Outcome.UNKNOWN)
        answered.close()
        if not known:
            raise _refusal(answer)
        # What follows a change was read after it, however long ago it was sent.
        self._overhear(who, answer, self._now() if work is Work.DELETE else sent_at)
        return answer


def _health(answer: GrpcAnswer) -> int:
    """The status of a health check's answer; a core that says it does not serve is as one that
    says it in HTTP."""
    if answer.status != 200:
        return answer.status
    health = messages.read(health_pb2.HealthCheckResponse, answer.message or b"")
    return 200 if health.status == health_pb2.HealthCheckResponse.SERVING else NOT_SERVING


def _refusal(answer: GrpcAnswer) -> Exception:
    return refusal(answer.status, answer.code, answer.retry_after_s)
