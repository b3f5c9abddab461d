"""Documents: announced, uploaded straight to S3, completed, listed, read and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, empty

from gateway.domain.documents import CURSOR, MOST_PARTS, DocumentRef
from gateway.domain.ids import new_uuid7
from gateway.domain.spellings import filename_pattern, type_pattern
from gateway.edge.http.endpoint import Success, route, version_of
from gateway.edge.http.render import json_response
from gateway.edge.http.repeats import Repeat
from gateway.edge.scope import Scope, scope_of
from gateway.errors import (
    Conflict,
    CoreProtocolError,
    CoreTimeout,
    CoreUnavailable,
    NotFound,
    StorageUnavailable,
    TemporalTimeout,
    TemporalUnavailable,
)
from gateway.flows.documents import (
    DEFAULT_A_PAGE,
    MOST_A_PAGE,
    Document,
    DocumentPage,
    Documents,
)
from gateway.flows.repeats import Attempt
from gateway.flows.upload_bodies import (
    Accepted,
    NewDocument,
    PartPermissions,
    UploadedPart,
    UploadTicket,
)
from gateway.flows.uploads import Uploads

blueprint = Blueprint("documents", url_prefix="/documents")

_TEMPORAL = (TemporalUnavailable, TemporalTimeout)
_CORE = (CoreUnavailable, CoreProtocolError, CoreTimeout)


class PartNumbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which parts to sign for, counted from 1."""

    parts: Annotated[
        list[Annotated[int, Meta(ge=1, le=MOST_PARTS)]], Meta(min_length=1, max_length=1000)
    ]


class Completion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``parts`` are needed for a multipart upload, and only there."""

    parts: Annotated[list[UploadedPart], Meta(min_length=1, max_length=MOST_PARTS)] | None = None


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which stretch of a listing. ``cursor`` is the ``next_cursor`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=MOST_A_PAGE)] = DEFAULT_A_PAGE
    cursor: Annotated[str, Meta(pattern=CURSOR, max_length=48)] | None = None


class ContentQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``redirect=false`` gives the address in the answer: scripts of a page see no redirect's."""

    redirect: bool = True


class ContentAddress(msgspec.Struct, frozen=True):
    """Where the bytes are for a minute, for whoever has this."""

    url: str


def announced_schema(provided: Mapping[type, Any]) -> dict[str, dict[str, Any]]:
    """What the settings allow of an announcement, for the OpenAPI document."""
    rules = provided[Uploads].rules
    return {
        "filename": {"pattern": filename_pattern(rules.types)},
        "content_type": {
            "pattern": type_pattern(rules.types),
            "examples": sorted(rules.types),
        },
        "size": {"maximum": rules.limit_bytes},
    }


def ref_of(scope: Scope, document_id: str) -> DocumentRef:
    """The document as its owner names it; the id's spelling was checked on the way in."""
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
    narrowed=announced_schema,
    accepts_form=True,
    repeat=Repeat(new_uuid7),
    successes=(Success(201, "Where and how to upload.", UploadTicket),),
    errors=(StorageUnavailable, *_TEMPORAL),
)
async def create(
    request: Request, uploads: Uploads, body: NewDocument, attempt: Attempt | None
) -> HTTPResponse:
    scope = scope_of(request)
    caller = scope.caller
    here = uploads.below(f"{version_of(request).prefix}{blueprint.url_prefix}")
    ticket = await here.create(caller.tenant, caller.subject, body, scope.deadline, attempt)
    return json_response(msgspec.to_builtins(ticket), 201)


@route(
    blueprint,
    "POST",
    "/<document_id:str>/parts",
    action="documents:create",
    name="parts_id",
    resource_id="document_id",
    summary="Presigned URLs for parts of a multipart upload, again when they expired",
    body=PartNumbers,
    successes=(Success(200, "One URL a part.", PartPermissions),),
    errors=(NotFound, Conflict, *_TEMPORAL),
)
async def parts(
    request: Request, document_id: str, uploads: Uploads, body: PartNumbers
) -> HTTPResponse:
    scope = scope_of(request)
    signed = await uploads.parts(ref_of(scope, document_id), body.parts, scope.deadline)
    return json_response(msgspec.to_builtins(signed))


@route(
    blueprint,
    "POST",
    "/<document_id:str>/complete",
    action="documents:complete",
    name="complete_id",
    resource_id="document_id",
    summary="Say that the upload is done; it is checked and indexed",
    body=Completion,
    body_required=False,
    repeat=Repeat(),
    successes=(Success(202, "The document is being processed.", Accepted),),
    errors=(NotFound, Conflict, *_TEMPORAL, *_CORE),
)
async def complete(
    request: Request, document_id: str, uploads: Uploads, body: Completion | None
) -> HTTPResponse:
    scope = scope_of(request)
    accepted = await uploads.complete(
        scope.on_behalf_of(),
        ref_of(scope, document_id),
        body.parts if body is not None else None,
        scope.deadline,
    )
    return json_response(msgspec.to_builtins(accepted), 202)


@route(
    blueprint,
    "GET",
    "",
    action="documents:list",
    name="list",
    summary="List documents, newest first",
    query=Page,
    any_owner=True,
    validated=True,
    successes=(Success(200, "One page.", DocumentPage),),
    errors=(*_TEMPORAL, *_CORE),
)
async def list_documents(request: Request, documents: Documents, query: Page) -> HTTPResponse:
    scope = scope_of(request)
    page = await documents.list(
        scope.on_behalf_of(), scope.deadline, limit=query.limit, cursor=query.cursor
    )
    return json_response(msgspec.to_builtins(page))


@route(
    blueprint,
    "GET",
    "/<document_id:str>",
    action="documents:read",
    name="read_id",
    resource_id="document_id",
    summary="One document with its ingest status",
    any_owner=True,
    validated=True,
    successes=(Success(200, "The document.", Document),),
    errors=(NotFound, *_TEMPORAL, *_CORE),
)
async def read(request: Request, document_id: str, documents: Documents) -> HTTPResponse:
    scope = scope_of(request)
    ref = ref_of(scope, document_id)
    found = await documents.get(scope.on_behalf_of(), ref, scope.deadline)
    return json_response(msgspec.to_builtins(found))


@route(
    blueprint,
    "GET",
    "/<document_id:str>/content",
    action="documents:content",
    name="content_id",
    resource_id="document_id",
    summary="Where to download the document that was indexed",
    query=ContentQuery,
    any_owner=True,
    successes=(
        Success(
            302, "The bytes are at `Location` for a minute, in the object store.", location=True
        ),
        Success(200, "The same address, where `redirect=false` was asked for.", ContentAddress),
    ),
    errors=(NotFound, Conflict, *_TEMPORAL, *_CORE),
)
async def content(
    request: Request, document_id: str, documents: Documents, query: ContentQuery
) -> HTTPResponse:
    scope = scope_of(request)
    url = await documents.content_url(
        scope.on_behalf_of(),
        ref_of(scope, document_id),
        scope.deadline,
        head=request.method == "HEAD",
    )
    if not query.redirect:
        return json_response(msgspec.to_builtins(ContentAddress(url)))
    return empty(302, {"Location": url})


@route(
    blueprint,
    "DELETE",
    "/<document_id:str>",
    action="documents:delete",
    name="delete_id",
    resource_id="document_id",
    summary="Delete a document: from the index, its workflow and its bytes",
    any_owner=True,
    successes=(Success(204, "Deleted."),),
    errors=(NotFound, *_TEMPORAL, *_CORE),
)
async def delete(request: Request, document_id: str, documents: Documents) -> HTTPResponse:
    scope = scope_of(request)
    ref = ref_of(scope, document_id)
    await documents.delete(scope.on_behalf_of(), ref, scope.deadline)
    return empty(204)
