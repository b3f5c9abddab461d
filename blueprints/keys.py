"""API keys: made, listed, rotated and revoked by their owner."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, empty

from gateway.domain.actions import ACTIONS, PERSON_ONLY
from gateway.domain.api_keys import KeyRecord, new_key_id
from gateway.domain.spellings import KEY_NAME
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.render import json_response
from gateway.edge.http.repeats import Repeat
from gateway.edge.scope import scope_of
from gateway.errors import Conflict, NotFound
from gateway.flows.keys import Keys
from gateway.flows.repeats import Attempt
from gateway.flows.times import rfc3339

blueprint = Blueprint("keys", url_prefix="/keys")

DAY_S = 24 * 3600

Scope = Annotated[str, Meta(extra_json_schema={"enum": sorted(ACTIONS - PERSON_ONLY)})]


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``scopes`` are what the key may do; ``expires_in`` is in seconds, without it never."""

    name: Annotated[
        str, Meta(min_length=1, max_length=100, extra_json_schema={"pattern": KEY_NAME})
    ]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=32)]
    expires_in: Annotated[int, Meta(ge=1, le=10 * 365 * DAY_S)] | None = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``overlap`` is how long the old secret still works, in seconds."""

    overlap: Annotated[int, Meta(ge=0, le=7 * DAY_S)] = DAY_S


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key. ``secret`` is in the answer that makes or rotates it, and in no other."""

    key_id: str
    name: str
    owner: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    secret: str | msgspec.UnsetType = msgspec.UNSET


class KeyList(msgspec.Struct, frozen=True):
    keys: list[Key]


def key_body(record: KeyRecord, secret: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "key_id": record.key_id,
        "name": record.name,
        "owner": record.owner,
        "scopes": sorted(record.scopes),
        "created_at": rfc3339(record.created_at),
        "expires_at": None if record.expires_at is None else rfc3339(record.expires_at),
        "revoked_at": None if record.revoked_at is None else rfc3339(record.revoked_at),
    }
    return body if secret is None else {**body, "secret": secret}


@route(
    blueprint,
    "POST",
    "",
    action="keys:create",
    name="create",
    summary="Make an API key; its secret is shown this once",
    body=NewKey,
    repeat=Repeat(lambda _now: new_key_id()),
    successes=(Success(201, "The key with its secret.", Key),),
    errors=(Conflict,),
)
async def create(
    request: Request, keys: Keys, body: NewKey, attempt: Attempt | None
) -> HTTPResponse:
    scope = scope_of(request)
    record, secret = await keys.create(
        scope.caller, body.name, body.scopes, body.expires_in, scope.deadline, attempt
    )
    return json_response(key_body(record, secret), 201)


@route(
    blueprint,
    "GET",
    "",
    action="keys:list",
    name="list",
    summary="List your keys",
    any_owner=True,
    successes=(Success(200, "The keys, newest first.", KeyList),),
)
async def list_keys(request: Request, keys: Keys) -> HTTPResponse:
    scope = scope_of(request)
    records = await keys.list(
        scope.caller.tenant, scope.owner or scope.caller.subject, scope.deadline
    )
    return json_response({"keys": [key_body(record) for record in records]})


@route(
    blueprint,
    "DELETE",
    "/<key_id:str>",
    action="keys:revoke",
    name="revoke_id",
    resource_id="key_id",
    summary="Revoke a key; it stops working at once here, and within 5 s everywhere",
    any_owner=True,
    successes=(Success(204, "Revoked."),),
    errors=(NotFound, Conflict),
)
async def revoke(request: Request, key_id: str, keys: Keys) -> HTTPResponse:
    scope = scope_of(request)
    owner = scope.owner or scope.caller.subject
    await keys.revoke(scope.caller.tenant, owner, key_id, scope.deadline)
    return empty(204)


@route(
    blueprint,
    "POST",
    "/<key_id:str>/rotate",
    action="keys:rotate",
    name="rotate_id",
    resource_id="key_id",
    summary="Give a key a new secret; the old one works on for a while",
    body=Rotation,
    body_required=False,
    successes=(Success(201, "The key with its new secret.", Key),),
    errors=(NotFound, Conflict),
)
async def rotate(request: Request, key_id: str, keys: Keys, body: Rotation | None) -> HTTPResponse:
    scope = scope_of(request)
    overlap_s = (body or Rotation()).overlap
    record, secret = await keys.rotate(scope.caller, key_id, overlap_s, scope.deadline)
    return json_response(key_body(record, secret), 201)
