"""Reading what a client sent: JSON bodies, multipart forms and query strings, within limits.

A body is still on its way when it is asked for here: a client that is refused before is not waited
for, and nothing of its body is kept.
"""

from __future__ import annotations

from typing import TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
)
from sanic import Request
from sanic.exceptions import PayloadTooLarge as TooLargeAtTheWire

from gateway.domain.strict_json import convert_pairs, read_json
from gateway.edge.context import FormLimits, context_of
from gateway.edge.scope import now_s, scope_of
from gateway.edge.wire.http1 import GuardedHttp
from gateway.errors import (
    LengthRequired,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)

T = TypeVar("T", bound=msgspec.Struct)
Pairs = list[tuple[str, str]]

QUERY_FIELDS = 16
# A body that took longer, and its caller is checked again before the handler runs.
ASK_AGAIN_AFTER_S = 1.0
_UTF8 = frozenset({"utf-8", "utf8"})
# In these ASCII bytes mean what they mean in UTF-8. Apache's HttpClient declares ISO-8859-1 for
# every text of a form, Python's ``email`` US-ASCII, whatever the text holds.
_ASCII_OR_MORE = frozenset({"us-ascii", "ascii", "iso-8859-1", "iso8859-1", "latin-1", "latin1"})


async def read_body(
    request: Request,
    shape: type[T],
    *,
    required: bool,
    limit_bytes: int | None,
    form: FormLimits | None,
) -> T | None:
    """The body as a ``shape``; ``None`` only where it may be left out and is.

    What the head says of it is checked before a byte is waited for, or asked for with a 100.

    Args:
        limit_bytes: the most it may have, where that is less than for other bodies.
        form: the limits of a multipart form, on routes that take one in place of JSON.
    """
    if not required and await _is_left_out(request):
        return None
    if request.version == "1.0" and "content-length" not in request.headers:
        # It has no chunks: nothing else tells where a body ends (RFC 9112, 6.3).
        raise LengthRequired
    media_type, parameters = _media_type(request)
    if media_type == "multipart/form-data" and form is not None:
        boundary = parameters.get("boundary", "")
        body = await _received_form(request, boundary, form)
        return convert_pairs(_form(body, boundary, form), shape)
    if media_type != "application/json":
        accepted = "application/json" + (" or multipart/form-data" if form is not None else "")
        raise UnsupportedMediaType(f"This route takes {accepted}.")
    body = await _received(request, limit_bytes)
    return None if not required and not body else read_json(body, shape)


async def read_bytes(request: Request, media_type: str, limit_bytes: int) -> bytes:
    """The body as it came, for a door that has its own words for what is wrong with one."""
    if request.version == "1.0" and "content-length" not in request.headers:
        raise LengthRequired
    if _media_type(request)[0] != media_type:
        raise UnsupportedMediaType(f"This route takes {media_type}.")
    return await _received(request, limit_bytes)


async def drop_body(request: Request) -> None:
    """Reads a body that nobody takes, to its end, and keeps nothing of it.

    A client that asks first whether to send it (``Expect``) is not told to.
    """
    stream = _stream(request)
    if stream.request_body and not stream.expecting_continue:
        await _await_body(request, stream.protocol.body_limit_bytes, keep=False)


async def _is_left_out(request: Request) -> bool:
    """Whether there is no body. Of one in chunks that names no type, only its end can tell."""
    stream = _stream(request)
    if not stream.request_body:
        return True
    if stream.request_body != "chunked" or "content-type" in request.headers:
        return False
    return not await _received(request)


async def _received(request: Request, limit_bytes: int | None = None) -> bytes:
    stream = _stream(request)
    largest_bytes = stream.protocol.body_limit_bytes
    if limit_bytes is not None:
        largest_bytes = min(limit_bytes, largest_bytes)
    body = stream.body_at_hand(largest_bytes)
    return await _await_body(request, largest_bytes) if body is None else body


async def _await_body(request: Request, limit_bytes: int, *, keep: bool = True) -> bytes:
    """The body of a request of which that has not come yet, or not as a whole.

    The caller was let in when the head came. If the body took its time, he is checked again: a
    slow sender could otherwise use a key long after it was revoked.
    """
    scope, began_s = scope_of(request), now_s()
    try:
        body = await _stream(request).receive_body(limit_bytes, keep=keep)
    finally:
        waited_s = now_s() - began_s
        scope.leave_out(waited_s)
    if waited_s > ASK_AGAIN_AFTER_S:
        await context_of(request.app).ask_again(request)
    return body


def _stream(request: Request) -> GuardedHttp:
    return cast(GuardedHttp, request.stream)


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


async def _received_form(request: Request, boundary: str, limits: FormLimits) -> bytes:
    if not boundary:
        raise ValidationFailed("The form's Content-Type names no boundary.")
    try:
        return await _received(request, limits.size_bytes)
    except TooLargeAtTheWire as exc:
        raise PayloadTooLarge(f"A form here has at most {limits.size_bytes} bytes.") from exc


def _form(body: bytes, boundary: str, limits: FormLimits) -> Pairs:
    """The fields of a multipart form that carries no file: here the bytes go to S3 directly."""
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
