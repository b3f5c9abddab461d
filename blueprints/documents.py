"""Documents: announced, uploaded straight to S3, completed, listed, read and deleted."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, empty

from gateway.domain.documents import DocumentRef
from gateway.domain.ids import is_uuid7
from gateway.edge.endpoint import Success, route
from gateway.edge.render import json_response
from gateway.edge.scope import Scope, scope_of
from gateway.errors import (
    Conflict,
    CoreProtocolError,
    CoreTimeout,
    CoreUnavailable,
    NotFound,
    TemporalTimeout,
    TemporalUnavailable,
)
from gateway.flows.documents import Documents

blueprint = Blueprint("documents", url_prefix="/documents")

DocumentState = Literal["awaiting_upload", "processing", "indexed", "failed", "expired"]
PartNumber = Annotated[int, Meta(ge=1, le=10_000)]

_TEMPORAL = (TemporalUnavailable, TemporalTimeout)
_CORE = (CoreUnavailable, CoreProtocolError, CoreTimeout)


class NewDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What will be uploaded. ``size`` is in bytes; ``sha256`` is 64 lower-case hex digits."""

    filename: Annotated[str, Meta(min_length=1, max_length=255)]
    content_type: Annotated[str, Meta(min_length=1, max_length=255)]
    size: Annotated[int, Meta(ge=1)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    upload_method: Literal["POST", "PUT"] | None = None


class PartNumbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which parts to sign for, counted from 1."""

    parts: Annotated[list[PartNumber], Meta(min_length=1, max_length=1000)]


class UploadedPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part that was sent, with the ETag S3 answered."""

    n: PartNumber
    etag: Annotated[str, Meta(min_length=1, max_length=256)]


class Completion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``parts`` are needed for a multipart upload, and only there."""

    parts: Annotated[list[UploadedPart], Meta(min_length=1, max_length=10_000)] | None = None


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which stretch of a listing. ``cursor`` is the ``next_cursor`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class Upload(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to send the bytes: form fields for POST, headers for PUT, a part size for MULTIPART."""

    method: Literal["POST", "PUT", "MULTIPART"]
    expires_at: str
    url: str | None = None
    fields: dict[str, str] | None = None
    headers: dict[str, str] | None = None
    part_size: int | None = None


class Ticket(msgspec.Struct, frozen=True):
    """A document that waits for its upload."""

    document_id: str
    workflow_id: str
    upload: Upload
    complete_url: str


class Part(msgspec.Struct, frozen=True):
    n: int
    url: str
    headers: dict[str, str]
    expires_at: str


class Parts(msgspec.Struct, frozen=True):
    parts: list[Part]


class Accepted(msgspec.Struct, frozen=True):
    document_id: str
    status: Literal["processing"]


class Document(msgspec.Struct, frozen=True):
    """A document with its ingest status; ``progress`` is 0..1 where it is known."""

    document_id: str
    filename: str
    content_type: str
    size: int
    status: DocumentState
    progress: float | None
    error: str | None
    created_at: str


class DocumentList(msgspec.Struct, frozen=True):
    """Newest first; ``next_cursor`` is null on the last page."""

    documents: list[Document]
    next_cursor: str | None


def ref_of(scope: Scope, document_id: str) -> DocumentRef:
    """The document as its owner names it. Any other spelling of an id names nothing."""
    if not is_uuid7(document_id):
        raise NotFound
    caller = scope.caller
    return DocumentRef(caller.tenant, scope.owner or caller.subject, document_id)


@route(
    blueprint,
    "POST",
    "",
    action="documents:create",
    name="create",
    summary="Announce a document and get a presigned upload for it",
    body=NewDocument,
    accepts_form=True,
    successes=(Success(201, "Where and how to upload.", Ticket),),
    errors=_TEMPORAL,
)
async def create(request: Request, documents: Documents, body: NewDocument) -> HTTPResponse:
    scope = scope_of(request)
    ticket = await documents.create(scope.caller, body, scope.deadline)
    return json_response(msgspec.to_builtins(ticket), 201)


@route(
    blueprint,
    "POST",
    "/<document_id:str>/parts",
    action="documents:create",
    name="parts_id",
    summary="Presigned URLs for parts of a multipart upload, again when they expired",
    body=PartNumbers,
    successes=(Success(200, "One URL a part.", Parts),),
    errors=(NotFound, Conflict, *_TEMPORAL),
)
async def parts(
    request: Request, document_id: str, documents: Documents, body: PartNumbers
) -> HTTPResponse:
    scope = scope_of(request)
    signed = await documents.parts(ref_of(scope, document_id), body.parts, scope.deadline)
    return json_response({"parts": msgspec.to_builtins(signed)})


@route(
    blueprint,
    "POST",
    "/<document_id:str>/complete",
    action="documents:complete",
    name="complete_id",
    summary="Say that the upload is done; it is checked and indexed",
    body=Completion,
    body_required=False,
    successes=(Success(202, "The document is being processed.", Accepted),),
    errors=(NotFound, Conflict, *_TEMPORAL, *_CORE),
)
async def complete(
    request: Request, document_id: str, documents: Documents, body: Completion | None
) -> HTTPResponse:
    scope = scope_of(request)
    uploaded = None
    if body is not None and body.parts is not None:
        uploaded = [(part.n, part.etag) for part in body.parts]
    await documents.complete(
        ref_of(scope, document_id), uploaded, scope.on_behalf_of(), scope.deadline
    )
    return json_response({"document_id": document_id, "status": "processing"}, 202)


@route(
    blueprint,
    "GET",
    "",
    action="documents:list",
    name="list",
    summary="List documents, newest first",
    query=Page,
    any_owner=True,
    successes=(Success(200, "One page.", DocumentList),),
    errors=(*_TEMPORAL, *_CORE),
)
async def list_documents(request: Request, documents: Documents, query: Page) -> HTTPResponse:
    scope = scope_of(request)
    page = await documents.list(
        scope.on_behalf_of(), limit=query.limit, cursor=query.cursor, deadline=scope.deadline
    )
    return json_response(msgspec.to_builtins(page))


@route(
    blueprint,
    "GET",
    "/<document_id:str>",
    action="documents:read",
    name="read_id",
    summary="One document with its ingest status",
    any_owner=True,
    successes=(Success(200, "The document.", Document),),
    errors=(NotFound, *_TEMPORAL, *_CORE),
)
async def read(request: Request, document_id: str, documents: Documents) -> HTTPResponse:
    scope = scope_of(request)
    found = await documents.get(
        ref_of(scope, document_id), scope.on_behalf_of(), scope.deadline
    )
    return json_response(msgspec.to_builtins(found))


@route(
    blueprint,
    "DELETE",
    "/<document_id:str>",
    action="documents:delete",
    name="delete_id",
    summary="Delete a document: from the index, its workflow and its bytes",
    any_owner=True,
    successes=(Success(204, "Deleted."),),
    errors=(NotFound, *_TEMPORAL, *_CORE),
)
async def delete(request: Request, document_id: str, documents: Documents) -> HTTPResponse:
    scope = scope_of(request)
    await documents.delete(
        ref_of(scope, document_id), scope.on_behalf_of(), scope.deadline
    )
    return empty(204)


