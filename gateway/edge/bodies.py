"""Reading what a client sent: JSON bodies, multipart forms and query strings, within limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl

import msgspec
from multipart import MultipartError, ParserLimitReached, PushMultipartParser
from sanic import Request

from gateway.domain.strict_json import convert, convert_pairs, decode_json
from gateway.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed

if TYPE_CHECKING:
    from gateway.edge.endpoint import Endpoint

T = TypeVar("T", bound=msgspec.Struct)
Pairs = list[tuple[str, str]]

FORM_PARTS = 16
FORM_BYTES = 64 * 1024
QUERY_FIELDS = 16


def read_body(request: Request, endpoint: Endpoint) -> msgspec.Struct | None:
    """The body as the endpoint's type; ``None`` only where it may be left out and is."""
    shape = endpoint.body
    assert shape is not None
    if not request.body and not endpoint.body_required:
        return None
    media_type, parameters = _media_type(request)
    if media_type == "application/json":
        if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("JSON is UTF-8.")
        return convert(decode_json(request.body), shape)
    if media_type == "multipart/form-data" and endpoint.accepts_form:
        return convert_pairs(_form(request.body, parameters.get("boundary", "")), shape)
    accepted = "application/json" + (" or multipart/form-data" if endpoint.accepts_form else "")
    raise UnsupportedMediaType(f"This route takes {accepted}.")


def _media_type(request: Request) -> tuple[str, dict[str, str]]:
    values = request.headers.getall("content-type", [])
    if len(values) != 1:
        raise UnsupportedMediaType("Exactly one Content-Type is needed.")
    main, *rest = values[0].split(";")
    parameters: dict[str, str] = {}
    for item in rest:
        name, _, text = item.partition("=")
        parameters[name.strip().lower()] = text.strip().strip('"')
    return main.strip().lower(), parameters


def _form(body: bytes, boundary: str) -> Pairs:
    """The fields of a multipart form that carries no file: here the bytes go to S3 directly."""
    if not boundary:
        raise ValidationFailed("The form's Content-Type names no boundary.")
    if len(body) > FORM_BYTES:
        raise PayloadTooLarge(f"A form here has at most {FORM_BYTES} bytes.")
    try:
        return _parts(body, boundary)
    except ParserLimitReached as exc:
        raise PayloadTooLarge(f"A form here has at most {FORM_PARTS} parts.") from exc
    except (MultipartError, ValueError) as exc:
        raise ValidationFailed("The body is not a valid multipart form.") from exc


def _parts(body: bytes, boundary: str) -> Pairs:
    pairs: Pairs = []
    name, text = "", b""
    parser = PushMultipartParser(
        boundary, content_length=len(body), max_segment_count=FORM_PARTS, strict=True
    )
    with parser:
        for event in (*parser.parse(body), *parser.parse(b"")):
            if event is None:
                pairs.append((name, text.decode("utf-8")))
            elif isinstance(event, (bytes, bytearray)):
                text += event
            else:
                if event.filename is not None:
                    raise ValidationFailed(
                        fields={event.name: "must be a plain field: the file itself goes to S3"}
                    )
                name, text = event.name, b""
    return pairs


def query_pairs(request: Request) -> Pairs:
    """The query string's parameters in order; malformed ones are refused, not guessed at."""
    if not request.query_string:
        return []
    try:
        return parse_qsl(
            request.query_string,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=QUERY_FIELDS,
        )
    except (ValueError, UnicodeError) as exc:
        raise ValidationFailed("The query string is malformed.") from exc


def _without_owner(request: Request, any_owner: bool) -> Pairs:
    """``?owner=`` is the pipeline's (it decides the action) and checked there."""
    pairs = query_pairs(request)
    return [pair for pair in pairs if pair[0] != "owner"] if any_owner else pairs


def read_query(request: Request, shape: type[T], any_owner: bool) -> T:
    return convert_pairs(_without_owner(request, any_owner), shape, prefix="?")


def refuse_query(request: Request, any_owner: bool) -> None:
    """A parameter nobody reads is a mistake worth telling."""
    extra = _without_owner(request, any_owner)
    if extra:
        raise ValidationFailed(fields={f"?{name}": "is not a known parameter" for name, _ in extra})
