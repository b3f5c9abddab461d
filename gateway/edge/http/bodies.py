"""Reading what a client sent: JSON bodies, multipart forms and query strings, within limits."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
)
from sanic import Request

from gateway.domain.strict_json import convert_pairs, read_json
from gateway.edge.context import FormLimits
from gateway.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed

T = TypeVar("T", bound=msgspec.Struct)
Pairs = list[tuple[str, str]]

QUERY_FIELDS = 16
_UTF8 = frozenset({"utf-8", "utf8"})
# In these ASCII bytes mean what they mean in UTF-8. Apache's HttpClient declares ISO-8859-1 for
# every text of a form, Python's ``email`` US-ASCII, whatever the text holds.
_ASCII_OR_MORE = frozenset({"us-ascii", "ascii", "iso-8859-1", "iso8859-1", "latin-1", "latin1"})


def read_body(
    request: Request, shape: type[T], *, required: bool, form: FormLimits | None
) -> T | None:
    """The body as a ``shape``; ``None`` only where it may be left out and is.

    Args:
        form: the limits of a multipart form, on routes that take one in place of JSON.
    """
    if not request.body and not required:
        return None
    media_type, parameters = _media_type(request)
    if media_type == "application/json":
        return read_json(request.body, shape)
    if media_type == "multipart/form-data" and form is not None:
        return convert_pairs(_form(request.body, parameters.get("boundary", ""), form), shape)
    accepted = "application/json" + (" or multipart/form-data" if form is not None else "")
    raise UnsupportedMediaType(f"This route takes {accepted}.")


def _media_type(request: Request) -> tuple[str, dict[str, str]]:
    values = request.headers.getall("content-type", [])
    if len(values) != 1:
        raise UnsupportedMediaType("Exactly one Content-Type is needed.")
    main, *rest = values[0].split(";")
    parameters: dict[str, str] = {}
    for item in rest:
        name, _, text = item.partition("=")
        if name.strip().lower() in parameters:
            raise UnsupportedMediaType("The Content-Type has a parameter twice.")
        parameters[name.strip().lower()] = text.strip().strip('"')
    if parameters.get("charset", "utf-8").lower() not in _UTF8:
        raise UnsupportedMediaType("Bodies are UTF-8.")
    if request.headers.getall("content-encoding", ["identity"]) != ["identity"]:
        raise UnsupportedMediaType("Bodies are not compressed.")
    return main.strip().lower(), parameters


def _form(body: bytes, boundary: str, limits: FormLimits) -> Pairs:
    """The fields of a multipart form that carries no file: here the bytes go to S3 directly."""
    if not boundary:
        raise ValidationFailed("The form's Content-Type names no boundary.")
    if len(body) > limits.size_bytes:
        raise PayloadTooLarge(f"A form here has at most {limits.size_bytes} bytes.")
    try:
        return _parts(body, boundary, limits.parts)
    except ParserLimitReached as exc:
        raise PayloadTooLarge(
            f"A form here has at most {limits.parts} parts, each with a short head."
        ) from exc
    except (MultipartError, ValueError) as exc:
        raise ValidationFailed("The body is not a valid multipart form.") from exc


def _parts(body: bytes, boundary: str, most_parts: int) -> Pairs:
    pairs: Pairs = []
    name, text, encoding = "", b"", "utf-8"
    parser = PushMultipartParser(
        boundary, content_length=len(body), max_segment_count=most_parts, strict=True
    )
    with parser:
        for event in (*parser.parse(body), *parser.parse(b"")):
            if event is None:
                pairs.append((name, _field_text(name, text, encoding)))
            elif isinstance(event, (bytes, bytearray)):
                text += event
            else:
                name, text, encoding = _field_name(event), b"", _field_encoding(event)
    return pairs


def _field_text(name: str, text: bytes, encoding: str) -> str:
    try:
        return text.decode(encoding)
    except UnicodeDecodeError as exc:
        raise ValidationFailed(fields={name: "must be UTF-8"}) from exc


def _field_encoding(part: MultipartSegment) -> str:
    """What the part's bytes must be: UTF-8, or ASCII where another charset is declared for them."""
    declared = (part.charset or "utf-8").lower()
    if declared in _UTF8:
        return "utf-8"
    if declared in _ASCII_OR_MORE:
        return "ascii"
    raise ValidationFailed(fields={part.name: "must be UTF-8"})


def _field_name(part: MultipartSegment) -> str:
    """The name of a plain field; a file, or a text in a transfer encoding, is refused."""
    if part.filename is not None:
        raise ValidationFailed(fields={part.name: "must be a plain field: the file goes to S3"})
    if part.header("Content-Transfer-Encoding", "8bit").lower() not in {"7bit", "8bit", "binary"}:
        raise ValidationFailed(fields={part.name: "must not be encoded"})
    return str(part.name)


def query_pairs(request: Request) -> Pairs:
    """The query string's parameters in order; malformed ones are refused, not repaired."""
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
    """``?owner=`` is read and checked by the pipeline, as it decides about the action."""
    pairs = query_pairs(request)
    return [pair for pair in pairs if pair[0] != "owner"] if any_owner else pairs


def read_query(request: Request, shape: type[T], any_owner: bool) -> T:
    return convert_pairs(_without_owner(request, any_owner), shape, prefix="?")


def refuse_query(request: Request, any_owner: bool) -> None:
    """A parameter that nobody reads is most likely a mistake: it is refused, not ignored."""
    extra = _without_owner(request, any_owner)
    if extra:
        raise ValidationFailed(fields={f"?{name}": "is not a known parameter" for name, _ in extra})
