"""The core over HTTP: questions, searches, documents and their revision, and ``/healthz``.

Every ``/v1`` call carries the core's token and the identity the gateway vouches for; what it may
see is what belongs to that (tenant, subject). The paths and events are the contract's.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, NoReturn

from aiohttp import web

from devstack.core import VERSION, event_lines
from devstack.core.documents import Owner, is_document_id
from devstack.core.errors import (
    CoreError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Unauthenticated,
)
from devstack.core.query import Event, parse_question, parse_search
from devstack.core.service import (
    BODY_LIMIT_BYTES,
    LARGEST_PAGE,
    REVISION,
    Service,
    check_token,
    owner_of,
)

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DEFAULT_PAGE = 50

_NO_HEADERS: Mapping[str, str] = {}

_OWNER = web.RequestKey("owner", Owner)


class HttpService:
    """The handlers; ``app`` closes the service when it ends."""

    def __init__(self, token: str, service: Service) -> None:
        self._token = token.encode()
        self._service = service

    def app(self) -> web.Application:
        """The application, ready to be served."""
        app = web.Application(
            middlewares=[_errors, self._identity], client_max_size=BODY_LIMIT_BYTES
        )
        app.router.add_get("/healthz", self.healthz)
        app.router.add_post("/v1/query", self.query)
        app.router.add_post("/v1/search", self.search)
        app.router.add_get("/v1/revision", self.revision)
        app.router.add_get("/v1/documents", self.list_documents)
        app.router.add_get("/v1/documents/{document_id}", self.read_document)
        app.router.add_delete("/v1/documents/{document_id}", self.delete_document)
        app.on_cleanup.append(self._close)
        return app

    async def healthz(self, request: web.Request) -> web.Response:
        return _json({"status": "ok", "version": VERSION})

    async def query(self, request: web.Request) -> web.StreamResponse:
        question, owner = parse_question(await _body(request)), request[_OWNER]
        revision = await self._revision(request)
        async with contextlib.aclosing(self._service.answer(owner, question)) as events:
            first = await anext(events)  # what fails before it still has its own status
            response = web.StreamResponse(
                headers={
                    "Content-Type": "text/event-stream; charset=utf-8",
                    "Cache-Control": "no-store",
                    **revision,
                }
            )
            await response.prepare(request)
            try:
                await response.write(_encode(first))
                async for event in events:
                    await response.write(_encode(event))
            except ConnectionResetError:
                return response  # the caller left
            except Exception as fault:
                known = fault if isinstance(fault, CoreError) else CoreError()
                logger.warning("answer broken off", exc_info=fault)
                body = known.body(request.headers.get("X-Request-ID"))
                await response.write(_encode(Event("error", body)))
            await response.write_eof()
        return response

    async def search(self, request: web.Request) -> web.Response:
        question, revision = parse_search(await _body(request)), await self._revision(request)
        passages = await self._service.search(request[_OWNER], question)
        return _json({"passages": passages}, headers=revision)

    async def revision(self, request: web.Request) -> web.Response:
        revision = await self._revision(request)
        return _json({"revision": revision[REVISION]}, headers=revision)

    async def _revision(self, request: web.Request) -> dict[str, str]:
        """The header that names the owner's revision."""
        return {REVISION: await self._service.revision(request[_OWNER])}

    async def list_documents(self, request: web.Request) -> web.Response:
        limit, cursor = _paging(request)
        revision = await self._revision(request)
        records, next_cursor = await self._service.page(request[_OWNER], limit, cursor)
        documents = [asdict(record) for record in records]
        return _json({"documents": documents, "next_cursor": next_cursor}, headers=revision)

    async def read_document(self, request: web.Request) -> web.Response:
        revision = await self._revision(request)
        record = await self._service.record(request[_OWNER], _document_id(request))
        return _json(asdict(record), headers=revision)

    async def delete_document(self, request: web.Request) -> web.Response:
        await self._service.delete(request[_OWNER], _document_id(request))
        return web.Response(status=204, headers=await self._revision(request))

    async def _close(self, _: web.Application) -> None:
        await self._service.close()

    @property
    def _identity(self) -> Any:
        @web.middleware
        async def identity(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path != "/healthz":
                self._check_token(request)
                request[_OWNER] = _owner(request)
            elif request.headers.get("Authorization"):
                # A probe needs no token; a gateway learns at once that it has the wrong one.
                self._check_token(request)
            return await handler(request)

        return identity

    def _check_token(self, request: web.Request) -> None:
        check_token(_header(request, "Authorization"), self._token)


def _header(request: web.Request, name: str) -> str:
    """A header's value; empty when it is missing or given more than once."""
    values = request.headers.getall(name, [])
    return values[0] if len(values) == 1 else ""


def _owner(request: web.Request) -> Owner:
    return owner_of(_header(request, "X-KB-Tenant"), _header(request, "X-KB-Subject"))


def _document_id(request: web.Request) -> str:
    return request.match_info["document_id"]


def _paging(request: web.Request) -> tuple[int, str | None]:
    faults = dict.fromkeys(request.query.keys() - {"limit", "cursor"}, "unknown parameter")
    limit = request.query.get("limit", str(DEFAULT_PAGE))
    cursor = request.query.get("cursor")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= LARGEST_PAGE):
        faults["limit"] = f"expected a whole number from 1 to {LARGEST_PAGE}"
    if cursor is not None and not is_document_id(cursor):
        faults["cursor"] = "expected a document id"
    if faults:
        raise InvalidRequest(fields=faults)
    return int(limit), cursor


async def _body(request: web.Request) -> Any:
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as fault:
        raise PayloadTooLarge from fault
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise InvalidRequest("The body is not JSON.") from fault


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every failure the one error shape."""
    try:
        return await handler(request)
    except CoreError as fault:
        return _error(request, fault)
    except web.HTTPMethodNotAllowed as refused:
        response = _error(request, MethodNotAllowed())
        response.headers["Allow"] = refused.headers["Allow"]
        return response
    except web.HTTPException as refused:
        return _error(request, NotFound() if refused.status == 404 else _Other(refused))
    except Exception:
        logger.exception("%s %s failed", request.method, request.match_info.route.resource)
        return _error(request, CoreError())


class _Other(CoreError):
    """A refusal of aiohttp's own that has no class here."""

    code = "MALFORMED_REQUEST"
    message = "The request is malformed."

    def __init__(self, refused: web.HTTPException) -> None:
        super().__init__()
        self.status = refused.status  # type: ignore[misc]


def _error(request: web.Request, fault: CoreError) -> web.Response:
    response = _json(fault.body(request.headers.get("X-Request-ID")), fault.status)
    if isinstance(fault, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _json(value: Any, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> web.Response:
    return web.Response(
        body=event_lines.to_json(value).encode(),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **headers},
    )


def _encode(event: Event) -> bytes:
    return event_lines.event(event.name, event.data)
