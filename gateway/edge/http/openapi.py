"""The OpenAPI 3.1 document, made from the routes the router has and their msgspec types.

The same types read the bodies (``edge/http/bodies.py``), so that what is documented and what is
accepted cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from sanic import Sanic

from gateway import __version__
from gateway.domain.repeats import HEADER, PATTERN
from gateway.domain.versions import Version
from gateway.edge.context import context_of
from gateway.edge.http.endpoint import Endpoint, Success
from gateway.edge.http.request_schemas import REMAINDER, as_text, narrowed, strict
from gateway.edge.http.resource_ids import ID_SPELLINGS
from gateway.edge.http.routes import PARAMETER, endpoints
from gateway.edge.http.security_schemes import security_schemes
from gateway.edge.http.validators import CACHE_CONTROL
from gateway.errors import (
    AmbiguousCredentials,
    Conflict,
    ExpectationFailed,
    Forbidden,
    GatewayError,
    Gone,
    HeadersTooLarge,
    IdempotencyMismatch,
    InternalError,
    LengthRequired,
    MalformedRequest,
    Overloaded,
    PayloadTooLarge,
    PolicyUnavailable,
    RateLimited,
    RequestTimedOut,
    SharedStateUnavailable,
    StorageUnavailable,
    TokenExpired,
    Unauthenticated,
    UnsupportedMediaType,
    UriTooLong,
    ValidationFailed,
    by_code,
)

REF = "#/components/schemas/{name}"

# What any route can answer, and what any route that is not public can besides.
_ANY: tuple[type[GatewayError], ...] = (
    ValidationFailed,
    MalformedRequest,
    RequestTimedOut,
    PayloadTooLarge,
    UriTooLong,
    ExpectationFailed,
    HeadersTooLarge,
    InternalError,
    Overloaded,
)
_NOT_PUBLIC: tuple[type[GatewayError], ...] = (
    Unauthenticated,
    TokenExpired,
    AmbiguousCredentials,
    Forbidden,
    PolicyUnavailable,
    StorageUnavailable,
)

TITLE = "Knowledge Base Gateway"
DESCRIPTION = (
    """\
The one way into the knowledge base: log in, upload documents, ask, and read the answer as it \
streams. Every failure has one shape, `{"error": {"code", "message", "details"}}`, and carries \
the request's id, which is also in `X-Request-ID`.

"""
    + REMAINDER
)

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "enum": sorted(by_code())},
                "message": {"type": "string"},
                "type": {
                    "type": "string",
                    "description": "To OpenAI's clients alone: what kind of error it is to them.",
                },
                "param": {
                    "type": ["string", "null"],
                    "description": "To OpenAI's clients alone: the first field that is wrong.",
                },
                "details": {
                    "type": "object",
                    "required": ["request_id"],
                    "properties": {
                        "request_id": {"type": "string"},
                        "fields": {
                            "type": "object",
                            "description": "`VALIDATION_ERROR`: what was expected of each field.",
                            "additionalProperties": {"type": "string"},
                        },
                        "decision_id": {
                            "type": "string",
                            "description": "`FORBIDDEN`: finds the decision in the logs.",
                        },
                    },
                },
            },
        }
    },
}


def build(
    app: Sanic[Any, Any],
    version: Version | Literal["all", "root"] = "all",
    provided: Mapping[type, Any] | None = None,
) -> dict[str, Any]:
    """The document for ``app``'s routes, for those of one version, or for those of none.

    Args:
        provided: what is asked what the settings allow; what handlers get, unless it is given.
    """
    declared = [
        (method, path, found)
        for method, path, found in endpoints(app)
        if found is not None and found.described and version in ("all", found.version or "root")
    ]
    provided = context_of(app).provided if provided is None else provided
    schemas = _schemas(provided, [found for _, _, found in declared])
    schemes = security_schemes(provided)
    accepted: list[dict[str, Any]] = [{name: []} for name in schemes]
    paths: dict[str, dict[str, Any]] = {}
    for method, path, found in sorted(declared, key=lambda entry: (entry[1], entry[0])):
        paths.setdefault(PARAMETER.sub(r"{\1}", path), {})[method.lower()] = _operation(
            method, path, found, schemas, accepted
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": version.name if isinstance(version, Version) else __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({found.tag for _, _, found in declared})],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Error": ERROR_SCHEMA},
            "securitySchemes": schemes,
        },
    }


def _schemas(provided: Mapping[type, Any], declared: list[Endpoint]) -> dict[str, Any]:
    """Of answers as msgspec describes them, of what is sent as strict as their readers are.

    Raises:
        ValueError: two types have one name, of which the document could show one alone.
    """
    successes = [success.body for endpoint in declared for success in endpoint.successes]
    answers = [body for body in successes if body is not None and not isinstance(body, str)]
    _told_apart([*answers, *(endpoint.body for endpoint in declared)])
    _, answered = msgspec.json.schema_components(answers, ref_template=REF)
    bodies = [endpoint.body for endpoint in declared if endpoint.body is not None]
    _, sent = msgspec.json.schema_components(bodies, ref_template=REF)
    for endpoint in declared:
        if endpoint.body is not None and endpoint.narrowed is not None:
            by = endpoint.narrowed(provided)
            sent[endpoint.body.__name__] = narrowed(sent[endpoint.body.__name__], by)
    return {**answered, **strict(sent)}


def _told_apart(types: Iterable[Any]) -> None:
    known: dict[str, Any] = {}
    for one in types:
        name = getattr(one, "__name__", None)
        if name is not None and known.setdefault(name, one) is not one:
            raise ValueError(f"{one} and {known[name]} have one name in the OpenAPI document")


def _operation(
    method: str,
    path: str,
    endpoint: Endpoint,
    schemas: dict[str, Any],
    accepted: list[dict[str, Any]],
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(path, method),
        "summary": endpoint.summary if method != "HEAD" else f"{endpoint.summary}: the head alone",
        "tags": [endpoint.tag],
        "parameters": _parameters(path, endpoint),
        "responses": _responses(endpoint) if method != "HEAD" else _heads(_responses(endpoint)),
        "security": accepted if endpoint.needs_credential else [],
    }
    if endpoint.ending is not None:
        operation["deprecated"] = True
        if endpoint.ending.sunset is not None:
            operation["x-sunset"] = endpoint.ending.sunset.isoformat()
    if endpoint.action is not None:
        operation["x-action"] = endpoint.action
    if endpoint.body is not None:
        operation["requestBody"] = _request_body(endpoint, endpoint.body, schemas)
    return operation


def _operation_id(path: str, method: str) -> str:
    words = re.findall(r"[a-z0-9]+", PARAMETER.sub(r"\1", path))
    return "_".join([*words, method.lower()])


def _request_body(
    endpoint: Endpoint, body: type[msgspec.Struct], schemas: dict[str, Any]
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "application/json": {"schema": {"$ref": REF.format(name=body.__name__)}}
    }
    if endpoint.accepts_form:
        content["multipart/form-data"] = {"schema": as_text(schemas[body.__name__])}
    return {"required": endpoint.body_required, "content": content}


def _parameters(path: str, endpoint: Endpoint) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": ID_SPELLINGS[name].schema}
        for name in PARAMETER.findall(path)
    ]
    if endpoint.query is not None:
        found += _query_parameters(endpoint.query)
    if endpoint.validated:
        found.append(_IF_NONE_MATCH)
    if endpoint.repeat is not None:
        found.append(_IDEMPOTENCY_KEY)
    if endpoint.any_owner:
        found.append(
            {
                "name": "owner",
                "in": "query",
                "description": "Another user of your tenant; needs the `any-owner` permission.",
                "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
            }
        )
    return found


def _query_parameters(shape: type[msgspec.Struct]) -> list[dict[str, Any]]:
    _, schemas = msgspec.json.schema_components([shape], ref_template=REF)
    described = as_text(strict(schemas[shape.__name__]))
    return [
        {
            "name": name,
            "in": "query",
            "required": name in described.get("required", ()),
            "schema": {key: value for key, value in schema.items() if key != "default"},
        }
        for name, schema in described["properties"].items()
    ]


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for success in endpoint.successes:
        entry = responses.setdefault(str(success.status), _response(success.description))
        if success.location:
            entry["headers"]["Location"] = _LOCATION
        if success.body is not None:
            entry.setdefault("content", {})[success.content_type] = {"schema": _schema(success)}
    if endpoint.validated:
        responses["304"] = _response("The same as what `If-None-Match` names.")
        for validated in ("200", "304"):
            responses[validated]["headers"] |= _VALIDATORS
    for status, classes in sorted(_error_classes(endpoint).items()):
        error = _error_response(classes)
        described = responses.setdefault(str(status), error)
        if described is not error:  # /readyz: 503 is an answer of its own, and may be an error too.
            described["description"] += f" Or {error['description']}."
            media = described["content"]["application/json"]
            media["schema"] = {"anyOf": [media["schema"], _ERROR_REF]}
    return responses


def _heads(responses: dict[str, Any]) -> dict[str, Any]:
    """The same answers as a HEAD gets them, without their content."""
    return {
        status: {part: value for part, value in response.items() if part != "content"}
        for status, response in responses.items()
    }


_ERROR_REF = {"$ref": REF.format(name="Error")}
_REQUEST_ID = {"schema": {"type": "string"}, "required": True, "description": "The request's id."}
_LOCATION = {
    "schema": {"type": "string", "format": "uri"},
    "required": True,
    "description": "Where it is.",
}
_VALIDATORS = {
    "ETag": {
        "schema": {"type": "string", "pattern": '^W/"[0-9a-f]{32}"$'},
        "required": True,
        "description": "Names this state of the answer; weak, the same with and without gzip.",
    },
    "Cache-Control": {
        "schema": {"type": "string", "const": CACHE_CONTROL},
        "required": True,
        "description": "For the client's own cache, which asks again before each use.",
    },
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag`s of what the client has, or `*`: 304 instead of the same again.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "description": (
        "Sent again with the same key, the request makes nothing a second time"
        " (draft-ietf-httpapi-idempotency-key-header-07). In quotes or without."
    ),
    "schema": {"type": "string", "pattern": PATTERN},
}
_CHALLENGE = {"schema": {"type": "string"}, "required": True, "description": "How to prove it."}
_RETRY_AFTER = {
    "schema": {"type": "integer", "minimum": 1},
    "description": "Seconds after which to try again.",
}


def _response(description: str) -> dict[str, Any]:
    return {"description": description, "headers": {"X-Request-ID": _REQUEST_ID}}


def _schema(success: Success) -> dict[str, Any]:
    if isinstance(success.body, str):
        return {"type": "string", "description": success.body}
    schema, _ = msgspec.json.schema_components([success.body], ref_template=REF)
    return schema[0]


def _error_classes(endpoint: Endpoint) -> dict[int, list[type[GatewayError]]]:
    """What can go wrong on a route, each code once, by status."""
    classes = [*endpoint.errors, *_ANY]
    if endpoint.ending is not None:
        classes.append(Gone)
    if endpoint.needs_credential:
        classes += _NOT_PUBLIC
    if endpoint.counted_as is not None:
        classes.append(RateLimited)
    if endpoint.body is not None:
        classes += [UnsupportedMediaType, LengthRequired]
    if endpoint.repeat is not None:
        classes += [Conflict, IdempotencyMismatch, SharedStateUnavailable]
    found: dict[int, list[type[GatewayError]]] = {}
    for cls in classes:
        known = found.setdefault(cls.status, [])
        if cls not in known:
            known.append(cls)
    return found


def _error_response(classes: list[type[GatewayError]]) -> dict[str, Any]:
    response = _response(" or ".join(f"`{cls.code}`" for cls in classes))
    if any(issubclass(cls, Unauthenticated) for cls in classes):
        response["headers"]["WWW-Authenticate"] = _CHALLENGE
    if any(cls.default_retry_after_s is not None or cls is Conflict for cls in classes):
        response["headers"]["Retry-After"] = _RETRY_AFTER
    return {**response, "content": {"application/json": {"schema": _ERROR_REF}}}
