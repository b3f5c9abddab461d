"""The core over HTTP (contract, section 5): httpx's exceptions and the core's statuses end here.

A query is opened and its head checked; the body is handed on as it comes. Document calls are
bounded as a whole. Nothing the core wrote leaves through an error: its texts are not for clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec

from gateway.domain.documents import CoreDocument
from gateway.domain.headers import core_headers
from gateway.domain.ids import is_uuid7
from gateway.domain.stream import CoreReset, core_error_code
from gateway.errors import (
    CoreProtocolError,
    CoreTimeout,
    CoreTruncated,
    CoreUnavailable,
    NotFound,
    Overloaded,
    ValidationFailed,
)
from gateway.ports import CorePage, CoreSink, OnBehalfOf
from gateway.relay.client import BODY, ON_SENT
from gateway.relay.transport import Body

_T = TypeVar("_T")

log = logging.getLogger("gateway.core")

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
_BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class CoreTimeouts:
    """Seconds. ``call_s`` bounds a document call as a whole, retry and body included.

    ``head_s`` bounds the wait for a query's head where the caller keeps no clock of its own.
    """

    connect_s: float = 2.0
    pool_s: float = 1.0
    head_s: float = 60.0
    call_s: float = 1.5
    check_s: float = 1.0


class _Page(msgspec.Struct):
    documents: list[CoreDocument]
    next_cursor: str | None


_DOCUMENT = msgspec.json.Decoder(CoreDocument)
_PAGE = msgspec.json.Decoder(_Page)


class CoreHttp:
    """Implements ``ports.Core`` over any ``httpx.AsyncClient``.

    Args:
        client: made by ``relay.client.make_client``; whoever made it closes it.
        base_urls: one or more addresses of the same core, used in turn.
        token: ``GATEWAY_CORE_TOKEN``, which the core checks.
        body_limit_bytes: the largest document answer that is read.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_urls: Sequence[str],
        token: str,
        *,
        timeouts: CoreTimeouts | None = None,
        body_limit_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        if not base_urls:
            raise ValueError("at least one base URL of the core is needed")
        self._client = client
        self._base_urls = [url.rstrip("/") for url in base_urls]
        self._token = token
        self._timeouts = timeouts or CoreTimeouts()
        self._body_limit_bytes = body_limit_bytes
        self._turn = 0

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
        try:
            async with asyncio.timeout(self._timeouts.head_s):
                response = await self._send(
                    "POST",
                    "/v1/query",
                    headers=headers,
                    content=msgspec.json.encode(body),
                    on_sent=on_sent,
                )
        except TimeoutError as exc:
            raise CoreTimeout from exc
        try:
            await self._check_stream_head(response)
        except BaseException:
            await response.aclose()
            raise
        return HttpCoreStream(response)

    async def list_documents(self, who: OnBehalfOf, *, limit: int, cursor: str | None) -> CorePage:
        query = {"limit": str(limit)} | ({"cursor": cursor} if cursor is not None else {})
        status, body = await self._call("GET", f"/v1/documents?{urlencode(query)}", who)
        if status != 200:
            raise CoreProtocolError
        page = _decode(_PAGE, body)
        return CorePage(documents=page.documents, more=page.next_cursor is not None)

    async def get_document(self, who: OnBehalfOf, document_id: str) -> CoreDocument | None:
        status, body = await self._call("GET", _document_path(document_id), who, absent=True)
        if status == 404:
            return None
        if status != 200:
            raise CoreProtocolError
        document = _decode(_DOCUMENT, body)
        if document.document_id != document_id:
            raise CoreProtocolError
        return document

    async def delete_document(self, who: OnBehalfOf, document_id: str) -> None:
        """A document the core has never heard of is as deleted as one can be."""
        await self._call("DELETE", _document_path(document_id), who, absent=True)

    async def check(self) -> None:
        """Asks ``/healthz``. Raises ``CoreUnavailable``, ``CoreTimeout`` or ``CoreProtocolError``.

        Every address is asked until one answers well.
        """
        for left in range(len(self._base_urls) - 1, -1, -1):
            try:
                await self._check_one()
            except (CoreUnavailable, CoreTimeout):
                if not left:
                    raise
            else:
                return

    async def _check_one(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with asyncio.timeout(self._timeouts.check_s):
                response = await self._send_once(self._next_url(), "GET", "/healthz", headers)
                try:
                    status = response.status_code
                    if status == 200:
                        await self._read_bounded(response)
                finally:
                    await response.aclose()
        except TimeoutError as exc:
            raise CoreTimeout from exc
        except httpx.TransportError as exc:
            _raise_for_transport(exc)
        if status != 200:
            hint = "; is GATEWAY_CORE_TOKEN the core's?" if status in (401, 403) else ""
            raise CoreUnavailable from ValueError(f"the core's health answer is {status}{hint}")

    def _headers(self, who: OnBehalfOf) -> dict[str, str]:
        return core_headers(
            token=self._token,
            subject=who.subject,
            tenant=who.tenant,
            roles=who.roles,
            request_id=who.request_id,
            actor=who.actor,
            traceparent=who.traceparent,
        )

    async def _call(
        self, method: str, target: str, who: OnBehalfOf, *, absent: bool = False
    ) -> tuple[int, bytes]:
        """One document call, bounded as a whole.

        Gives its status (2xx, or 404 where ``absent`` is an answer) and its body.
        """
        headers = {**self._headers(who), "Accept": "application/json"}
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                response = await self._send(method, target, headers=headers)
                try:
                    if 200 <= response.status_code < 300:
                        return response.status_code, await self._read_bounded(response)
                    if absent and response.status_code == 404:
                        return 404, b""
                    await self._raise_for_status(response)
                finally:
                    await response.aclose()
        except TimeoutError as exc:
            raise CoreTimeout from exc
        except httpx.TransportError as exc:
            _raise_for_transport(exc)

    async def _send(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> httpx.Response:
        """Sends it, and once more where that can do no harm: at the next address.

        A connection that could not be made took nothing, so any call may try another address. One
        that broke may have done its work: only calls that change nothing twice are repeated, at
        the same address too if there is no other, since it may just have been a stale connection.
        """
        first = self._next_url()
        try:
            return await self._send_once(first, method, target, headers, content, on_sent)
        except httpx.TransportError as exc:
            again = self._next_url()
            nothing_sent = isinstance(exc, _NOTHING_SENT)
            repeatable = nothing_sent and again != first
            if not repeatable and (nothing_sent or method == "POST" or not _broke(exc)):
                _raise_for_transport(exc)
        try:
            return await self._send_once(again, method, target, headers, content, on_sent)
        except httpx.TransportError as exc:
            _raise_for_transport(exc)

    async def _send_once(
        self,
        base_url: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> httpx.Response:
        timeouts = self._timeouts
        request = self._client.build_request(
            method,
            base_url + target,
            headers=headers,
            content=content,
            # Silence in a body is the flow's to judge: it knows events from comments.
            timeout=httpx.Timeout(None, connect=timeouts.connect_s, pool=timeouts.pool_s),
            extensions={} if on_sent is None else {ON_SENT: on_sent},
        )
        return await self._client.send(request, stream=True)

    def _next_url(self) -> str:
        url = self._base_urls[self._turn % len(self._base_urls)]
        self._turn += 1
        return url

    async def _check_stream_head(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            await self._raise_for_status(response)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if media_type != "text/event-stream" or coding != "identity":
            log.error("core_wrong_stream_head", extra={"media_type": media_type, "coding": coding})
            raise CoreProtocolError

    async def _raise_for_status(self, response: httpx.Response) -> NoReturn:
        """What a status that is no success means to a client of ours."""
        status = response.status_code
        log.warning("core_status", extra={"status": status})
        if status in (400, 404, 422):
            code = core_error_code(await self._error_body(response))
            if code == ValidationFailed.code:
                raise ValidationFailed
            if status == 404 and code == NotFound.code:
                raise NotFound
            raise CoreProtocolError
        if status in (401, 403):
            # Ours is the only credential on that call: a wrong GATEWAY_CORE_TOKEN, no client's.
            log.error("core_refused_the_gateways_token", extra={"status": status})
            raise CoreUnavailable
        if status in (429, 503):
            raise Overloaded(retry_after_s=_retry_after_s(response))
        if status >= 500:
            raise CoreUnavailable
        raise CoreProtocolError

    async def _error_body(self, response: httpx.Response) -> bytes:
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                return await self._read_bounded(response)
        except (TimeoutError, httpx.TransportError, CoreProtocolError):
            return b""

    async def _read_bounded(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise CoreProtocolError
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._body_limit_bytes:
                raise CoreProtocolError
        return bytes(body)


class HttpCoreStream:
    """Implements ``ports.CoreStream``: owns the response and closes it on every way out."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._body: Body | None = response.extensions.get(BODY)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The raw bytes as they come. Raises ``CoreTruncated``, or ``CoreReset`` for a reset."""
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx.TransportError as exc:
            raise _broken(exc) from exc

    def attach(self, sink: CoreSink) -> bool:
        """Pushes where the transport is ours; over another one (a mock) the bytes are pulled."""
        if self._body is None:
            return False
        self._body.attach(_Told(sink))
        return True

    def pause(self) -> None:
        if self._body is not None:
            self._body.pause()

    def resume(self) -> None:
        if self._body is not None:
            self._body.resume()

    async def aclose(self) -> None:
        await self._response.aclose()


class _Told:
    """A sink behind the transport's: bytes go straight through, failures in our words."""

    __slots__ = ("_sink", "received")

    def __init__(self, sink: CoreSink) -> None:
        self._sink = sink
        self.received = sink.received

    def ended(self, error: httpx.TransportError | None) -> None:
        self._sink.ended(None if error is None else _broken(error))


def _broken(error: httpx.TransportError) -> CoreTruncated:
    ours = CoreTruncated() if isinstance(error, httpx.RemoteProtocolError) else CoreReset()
    ours.__cause__ = error
    return ours


def _document_path(document_id: str) -> str:
    if not is_uuid7(document_id):
        raise ValueError("document ids are checked before any use")
    return f"/v1/documents/{quote(document_id, safe='')}"


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise CoreProtocolError from exc


def _retry_after_s(response: httpx.Response) -> int | None:
    """A core's ``Retry-After`` in whole seconds, kept between 1 s and 5 min; else our default."""
    text = response.headers.get("retry-after", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    return min(max(int(text), 1), 300)


def _broke(exc: httpx.TransportError) -> bool:
    return isinstance(exc, _BROKEN)


def _raise_for_transport(exc: httpx.TransportError) -> NoReturn:
    """httpx's failures of a call, in the contract's words."""
    if isinstance(exc, httpx.PoolTimeout):
        raise Overloaded from exc
    if isinstance(exc, httpx.TimeoutException):
        raise CoreTimeout from exc
    if isinstance(exc, httpx.ProtocolError | httpx.UnsupportedProtocol | httpx.DecodingError):
        raise CoreProtocolError from exc
    raise CoreUnavailable from exc
