"""A second reading of requests: slow, byte by byte, from the grammar in RFC 9110 and 9112.

It shares no line with ``gateway/domain/wire.py`` and no way of going about things either: there
are no regular expressions here, and a whole request is read at once. ``None`` means refused.
"""

from __future__ import annotations

from dataclasses import dataclass

ALPHA = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGIT = b"0123456789"
HEXDIG = DIGIT + b"ABCDEFabcdef"
TCHAR = b"!#$%&'*+-.^_`|~" + DIGIT + ALPHA
VCHAR = bytes(range(0x21, 0x7F))
FIELD_CONTENT = VCHAR + b" \t" + bytes(range(0x80, 0x100))
REG_NAME = ALPHA + DIGIT + b"-._~" + b"!$&'()*+,;="


@dataclass(frozen=True)
class Reading:
    method: bytes
    target: bytes
    version: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    keep_alive: bool
    body: bytes | None
    rest: bytes


def only(text: bytes, allowed: bytes) -> bool:
    return all(byte in allowed for byte in text)


def token(text: bytes) -> bool:
    return len(text) > 0 and only(text, TCHAR)


def trimmed(text: bytes) -> bytes:
    while text and text[0] in b" \t":
        text = text[1:]
    while text and text[-1] in b" \t":
        text = text[:-1]
    return text


def lowered(text: bytes) -> bytes:
    return bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in text)


def read(data: bytes) -> Reading | None:
    """The first request in ``data``, which must hold all of it."""
    if data[:2] == b"\r\n":
        data = data[2:]
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > 16 * 1024:
        return None
    first, *lines = data[:end].split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or words[2] not in (b"HTTP/1.0", b"HTTP/1.1"):
        return None
    method, target, version = words
    fields = read_fields(lines)
    if not token(method) or method == b"CONNECT" or fields is None:
        return None
    hosts = valued(fields, b"host")
    if len(hosts) > 1 or (not hosts and version == b"HTTP/1.1"):
        return None
    if hosts and not is_host(hosts[0]):
        return None
    if any(lowered(text) != b"100-continue" for text in valued(fields, b"expect")):
        return None
    origin = read_target(method, target, hosts[0] if hosts else None)
    if origin is None:
        return None
    framed = read_body(fields, version, data[end + 4 :])
    if framed is None:
        return None
    return Reading(
        method, origin, version[5:], fields, persists(fields, version), framed[0], framed[1]
    )


def read_fields(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...] | None:
    fields = []
    for line in lines:
        colon = line.find(b":")
        if colon < 0 or not token(line[:colon]) or len(line) > 8192:
            return None
        if not only(line[colon + 1 :], FIELD_CONTENT):
            return None
        fields.append((lowered(line[:colon]), trimmed(line[colon + 1 :])))
    return tuple(fields) if len(fields) <= 100 else None


def valued(fields: tuple[tuple[bytes, bytes], ...], name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


def is_host(text: bytes) -> bool:
    if text.startswith(b"["):
        inside, bracket, after = text[1:].partition(b"]")
        if not bracket or not inside or not only(inside, HEXDIG + b":."):
            return False
        return not after or (after[:1] == b":" and only(after[1:], DIGIT))
    name, _, port = text.partition(b":")
    if not only(port, DIGIT):
        return False
    pieces = name.split(b"%")
    escaped = all(len(piece) >= 2 and only(piece[:2], HEXDIG) for piece in pieces[1:])
    return escaped and all(only(piece, REG_NAME) for piece in pieces)


def read_target(method: bytes, target: bytes, host: bytes | None) -> bytes | None:
    if len(target) > 8192 or not target or not only(target, VCHAR) or b"#" in target:
        return None
    if target[:1] == b"/":
        return target
    if target == b"*":
        return target if method == b"OPTIONS" else None
    for scheme in (b"http://", b"https://"):
        if lowered(target[: len(scheme)]) != scheme:
            continue
        rest = target[len(scheme) :]
        cuts = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
        at = min(cuts, default=len(rest))
        authority, path = rest[:at], rest[at:]
        if not authority or not is_host(authority):
            return None
        if host is not None and lowered(authority) != lowered(host):
            return None
        if not path and method == b"OPTIONS":
            return b"*"
        return path if path[:1] == b"/" else b"/" + path
    return None


def persists(fields: tuple[tuple[bytes, bytes], ...], version: bytes) -> bool:
    options = [
        lowered(trimmed(option))
        for value in valued(fields, b"connection")
        for option in value.split(b",")
    ]
    if b"close" in options:
        return False
    return version == b"HTTP/1.1" or b"keep-alive" in options


def read_body(
    fields: tuple[tuple[bytes, bytes], ...], version: bytes, after: bytes
) -> tuple[bytes | None, bytes] | None:
    lengths = valued(fields, b"content-length")
    codings = valued(fields, b"transfer-encoding")
    if codings:
        if lengths or version == b"HTTP/1.0":
            return None
        if [lowered(coding) for coding in codings] != [b"chunked"]:
            return None
        return read_chunks(after)
    if not lengths:
        return None, after
    if len(lengths) > 1 or not lengths[0] or not only(lengths[0], DIGIT):
        return None
    size = int(lengths[0])
    return (after[:size], after[size:]) if len(after) >= size else None


def read_chunks(after: bytes) -> tuple[bytes, bytes] | None:
    body, extensions = b"", 0
    while True:
        end = after.find(b"\r\n")
        line, after = after[:end], after[end + 2 :]
        if end < 0 or len(line) + 2 > 256:
            return None
        digits = 0
        while digits < len(line) and line[digits] in HEXDIG:
            digits += 1
        extensions += len(line) - digits
        if not digits or extensions > 4096 or not are_extensions(line[digits:]):
            return None
        size = int(line[:digits], 16)
        if size == 0:
            rest = after_trailers(after)
            return None if rest is None else (body, rest)
        if after[size : size + 2] != b"\r\n":
            return None
        body, after = body + after[:size], after[size + 2 :]


def after_trailers(after: bytes) -> bytes | None:
    """What follows the empty line; each line before it is a field."""
    read = 0
    while True:
        end = after.find(b"\r\n", read)
        if end < 0 or end + 2 > 8192:
            return None
        line, read = after[read:end], end + 2
        if not line:
            return after[read:]
        colon = line.find(b":")
        if colon < 0 or not token(line[:colon]) or not only(line[colon + 1 :], FIELD_CONTENT):
            return None


def are_extensions(text: bytes) -> bool:
    """``*( ";" OWS name [ "=" ( token / quoted-string ) ] )``, nothing before a semicolon."""
    at = 0

    def skip(allowed: bytes) -> int:
        begun, here = at, at
        while here < len(text) and text[here] in allowed:
            here += 1
        return here - begun

    while at < len(text):
        if text[at] != ord(";"):
            return False
        at += 1
        at += skip(b" \t")
        name = skip(TCHAR)
        if not name:
            return False
        at += name
        if text[at : at + 1] != b"=":
            continue
        at += 1
        if text[at : at + 1] != b'"':
            value = skip(TCHAR)
            if not value:
                return False
            at += value
            continue
        at += 1
        while text[at : at + 1] != b'"':
            if at < len(text) and text[at] == ord("\\"):
                at += 1
            if at >= len(text) or text[at] not in FIELD_CONTENT:
                return False
            at += 1
        at += 1
    return True
