"""The bytes of a request's head, and of a chunked body, read as RFC 9110 and 9112 say.

Nothing is repaired and nothing is guessed. Where two readers of the same bytes could disagree about
where a request ends or whom it is for, the bytes are refused: a proxy in front that reads them the
other way would otherwise let a second request in behind the first.

``end_of_head`` finds a head in what has come so far, ``read_head`` reads it, ``ChunkedBody`` reads
a chunked body. All of them raise ``GatewayError`` for what is refused; after that no later byte of
the connection may be read as a request.
"""

from __future__ import annotations

import re

import msgspec

from gateway.errors import (
    ExpectationFailed,
    HeadersTooLarge,
    MalformedRequest,
    NotImplementedMethod,
    UnknownCoding,
    UriTooLong,
)

TARGET_LIMIT_BYTES = 8 * 1024
FIELD_LIMIT_BYTES = 8 * 1024
HEAD_LIMIT_BYTES = 16 * 1024
FIELDS_LIMIT = 100
# A chunk's size with its extensions, and all extensions of one body, which are ignored.
SIZE_LINE_LIMIT_BYTES = 256
EXTENSIONS_LIMIT_BYTES = 4 * 1024
# All lines behind the last chunk, the empty one among them.
TRAILERS_LIMIT_BYTES = 8 * 1024
# What a request line has beside its target.
_METHOD_AND_VERSION_BYTES = 24
# A length of more digits is above any limit; it is cut, so that no long integer is made of it.
_LENGTH_DIGITS = 18

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]++) HTTP/1\.([01])(?=\r\n|\Z)" % _TOKEN)
# Without a fold (RFC 9112, 5.2), a blank before the colon (5.1) or a control byte (9110, 5.5).
_FIELD_LINES = re.compile(rb"(?:\r\n%b:[\t\x20-\x7e\x80-\xff]*+)*+\Z" % _TOKEN)
# What no part of a head may hold: refused as soon as it comes, not when the head is complete.
_NEVER_IN_HEADS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|(?<!\r)\n")
_HOST = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+)(?::[0-9]*+)?\Z"
)
_ABSOLUTE = re.compile(r"https?://([^/?#@]+)([^#]*)\Z", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]++\Z")
_CODING = re.compile(_TOKEN.decode() + r"\Z")
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})

_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_EXTENSION = rb";[ \t]*%b(?:=(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]++)((?:%b)*+)\r\n" % _EXTENSION)
# What the beginning of a size line may look like.
_SIZE_LINE_BEGUN = re.compile(rb"(?:[0-9A-Fa-f]++(?:;[\t\x20-\x7e\x80-\xff]*+)?\r?)?\Z")
# One field behind the last chunk, or the empty line that ends them.
_TRAILER_LINE = re.compile(rb"(%b:[\t\x20-\x7e\x80-\xff]*+)?\r\n" % _TOKEN)
_TRAILER_LINE_BEGUN = re.compile(rb"(?:%b(?::[\t\x20-\x7e\x80-\xff]*+\r?)?|\r)?\Z" % _TOKEN)


class Head(msgspec.Struct, frozen=True):
    """A request's head that is well formed.

    Attributes:
        target: in origin form, or ``*``; an absolute one is cut to its path and query.
        version: ``"1.0"`` or ``"1.1"``.
        fields: names in lower case, values without the blanks round them, in their order.
        length: bytes of the body that follows; ``None`` where no length is given.
        chunked: a chunked body follows.
        expects_continue: the client waits for ``100 Continue`` before it sends the body.
    """

    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    keep_alive: bool
    length: int | None
    chunked: bool
    expects_continue: bool


def end_of_head(buffer: bytes | bytearray, looked_at: int) -> int | None:
    """Where the head ends in what has come so far, its last CRLF not counted; ``None``: not yet.

    Args:
        looked_at: how many bytes were there at the last call; they are not searched again.

    Raises:
        HeadersTooLarge, UriTooLong: it has not ended within the limit.
        MalformedRequest: it holds what no head may hold, whatever is still to come.
    """
    end = buffer.find(b"\r\n\r\n", max(0, looked_at - 3))
    if 0 <= end <= HEAD_LIMIT_BYTES:
        return end
    if end > HEAD_LIMIT_BYTES or len(buffer) > HEAD_LIMIT_BYTES + 3:
        line_end = buffer.find(b"\r\n")
        if not 0 <= line_end <= TARGET_LIMIT_BYTES + _METHOD_AND_VERSION_BYTES:
            raise UriTooLong
        raise HeadersTooLarge
    # One byte back: a CR that came last may have got the wrong byte behind it by now.
    if _NEVER_IN_HEADS.search(buffer, max(0, looked_at - 1)):
        raise MalformedRequest("The head holds a control byte or a line that ends wrongly.")
    if buffer.startswith(b"\r\n"):
        raise MalformedRequest("There is no request line.")
    return None


def read_head(head: bytes) -> Head:
    """The head, without the empty line that ends it, as a whole or not at all.

    Raises:
        MalformedRequest, UriTooLong, HeadersTooLarge, ExpectationFailed, NotImplementedMethod,
        UnknownCoding.
    """
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise MalformedRequest("The request line is malformed.")
    if line.end(2) - line.start(2) > TARGET_LIMIT_BYTES:
        raise UriTooLong
    if not _FIELD_LINES.match(head, line.end()):
        raise MalformedRequest("A header line is malformed.")
    if len(head) - line.end() > FIELD_LIMIT_BYTES:
        _refuse_long_fields(head)
    fields, framing = _fields(head[line.end() + 2 :])
    method, version = line[1].decode(), "1.1" if line[3] == b"1" else "1.0"
    host = _host(framing.get("host", []), version)
    if method == "CONNECT":
        raise NotImplementedMethod
    expects_continue = _expects_continue(framing.get("expect", []))
    length, chunked = _body(framing, version)
    return Head(
        method=method,
        target=_target(line[2].decode(), method, host),
        version=version,
        fields=fields,
        keep_alive=_keep_alive(framing.get("connection", []), version),
        length=length,
        chunked=chunked,
        # RFC 9110, 10.1.1: an HTTP/1.0 client must not be sent a 100.
        expects_continue=expects_continue and version == "1.1",
    )


def without_target(head: bytes) -> bytes:
    """The same head with ``/`` for its target, for one whose target is too long to be read."""
    method, _, rest = head.partition(b" ")
    return method + b" / " + rest.partition(b" ")[2]


def _refuse_long_fields(head: bytes) -> None:
    if any(len(line) > FIELD_LIMIT_BYTES for line in head.split(b"\r\n")[1:]):
        raise HeadersTooLarge("One of the request headers is too large.")


def _fields(lines: bytes) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """All fields, and by name the values of those that decide how the request is read."""
    fields: list[tuple[str, str]] = []
    framing: dict[str, list[str]] = {}
    if not lines:
        return fields, framing
    for line in lines.decode("utf-8", "surrogateescape").split("\r\n"):
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        fields.append((name, value))
        if name in _FRAMING:
            framing.setdefault(name, []).append(value)
    if len(fields) > FIELDS_LIMIT:
        raise HeadersTooLarge("There are too many request headers.")
    return fields, framing


def _host(hosts: list[str], version: str) -> str | None:
    """RFC 9112, 3.2: one ``Host`` and no more; HTTP/1.0 clients may leave it out."""
    if len(hosts) != 1:
        if not hosts and version == "1.0":
            return None
        raise MalformedRequest("Exactly one Host header is needed.")
    if not _HOST.match(hosts[0]):
        raise MalformedRequest("The Host header is malformed.")
    return hosts[0]


def _target(target: str, method: str, host: str | None) -> str:
    """RFC 9112, 3.2: origin form, ``*`` for OPTIONS, or absolute and then for this very host."""
    if target.startswith("/"):
        if "#" in target:
            raise MalformedRequest("The request target has a fragment.")
        return target
    if target == "*" and method == "OPTIONS":
        return target
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise MalformedRequest("The request target is malformed.")
    if host is not None and absolute[1].lower() != host.lower():
        raise MalformedRequest("The request target is not for the host in Host.")
    if not _HOST.match(absolute[1]):
        raise MalformedRequest("The request target is malformed.")
    rest = absolute[2]
    if not rest and method == "OPTIONS":  # 3.2.4: it means the whole server
        return "*"
    return rest if rest.startswith("/") else f"/{rest}"


def _body(framing: dict[str, list[str]], version: str) -> tuple[int | None, bool]:
    """RFC 9112, 6.1 to 6.3, without what it tolerates: one plain length or one ``chunked``."""
    lengths = framing.get("content-length", [])
    codings = framing.get("transfer-encoding", [])
    if not codings:
        return _length(lengths), False
    if lengths:
        raise MalformedRequest("Content-Length and Transfer-Encoding exclude each other.")
    if version == "1.0":
        raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding.")
    _refuse_codings([_lower(name.strip(" \t")) for name in ",".join(codings).split(",")])
    return None, True


def _refuse_codings(names: list[str]) -> None:
    """All but one ``chunked``. With another before it the body has an end, and is not understood.

    Without a last ``chunked`` the end cannot be found (RFC 9112, 6.3), and a second one is invalid.
    """
    if names == ["chunked"]:
        return
    others = names[:-1]
    well_formed = all(_CODING.match(name) and name != "chunked" for name in others)
    if names[-1] == "chunked" and well_formed:
        raise UnknownCoding
    raise MalformedRequest("The transfer coding is chunked, once and last.")


def _length(lengths: list[str]) -> int | None:
    if not lengths:
        return None
    if len(lengths) > 1 or not _DIGITS.match(lengths[0]):
        raise MalformedRequest("Content-Length is one plain number.")
    digits = lengths[0].lstrip("0") or "0"
    return int(digits[: _LENGTH_DIGITS + 1])


def _expects_continue(expectations: list[str]) -> bool:
    if not expectations:
        return False
    if any(expectation.lower() != "100-continue" for expectation in expectations):
        raise ExpectationFailed
    return True


def _keep_alive(connection: list[str], version: str) -> bool:
    """RFC 9112, 9.3; a ``close`` anywhere wins."""
    if not connection:
        return version == "1.1"
    options = {_lower(option.strip(" \t")) for option in ",".join(connection).split(",")}
    return "close" not in options and (version == "1.1" or "keep-alive" in options)


def _lower(text: str) -> str:
    """ASCII letters in lower case: to ``str.lower`` the Kelvin sign is a ``k``, too."""
    return text.lower() if text.isascii() else text


class ChunkedBody:
    """Takes a chunked body (RFC 9112, 7.1) out of a buffer, piece by piece.

    Attributes:
        announced_bytes: the sizes of all chunks so far; data still to come is in it.
        ended: the last chunk and the empty line behind it were there. What stands in between, the
            trailers, is read by the rules for header lines and dropped (RFC 9110, 6.5.1).
    """

    __slots__ = (
        "_extension_bytes",
        "_left",
        "_step",
        "_trailer_bytes",
        "announced_bytes",
        "ended",
    )

    def __init__(self) -> None:
        self.announced_bytes = 0
        self.ended = False
        self._left = 0
        self._extension_bytes = 0
        self._trailer_bytes = 0
        # What comes next: "size", "data", "data end" or "trailers".
        self._step = "size"

    def take(self, buffer: bytearray) -> bytes:
        """The data that is there, empty if there is none yet; all that was read is removed.

        Raises:
            MalformedRequest: this and whatever follows cannot be read.
        """
        pieces: list[bytes] = []
        at = 0
        while not self.ended:
            read = self._read(buffer, at, pieces)
            if read == at:
                break
            at = read
        del buffer[:at]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read(self, buffer: bytearray, at: int, pieces: list[bytes]) -> int:
        """One step from ``at`` on; where the next begins, or ``at`` when bytes are missing."""
        if self._step == "data":
            return self._read_data(buffer, at, pieces)
        if self._step == "size":
            return self._read_size(buffer, at)
        if self._step == "trailers":
            return self._read_trailer(buffer, at)
        line_end = bytes(buffer[at : at + 2])
        if not b"\r\n".startswith(line_end):
            raise MalformedRequest("There is more data than the chunk's size.")
        if len(line_end) < 2:
            return at
        self._step = "size"
        return at + 2

    def _read_data(self, buffer: bytearray, at: int, pieces: list[bytes]) -> int:
        data = bytes(buffer[at : at + self._left])
        if data:
            pieces.append(data)
            self._left -= len(data)
            if not self._left:
                self._step = "data end"
        return at + len(data)

    def _read_size(self, buffer: bytearray, at: int) -> int:
        line = _SIZE_LINE.match(buffer, at, at + SIZE_LINE_LIMIT_BYTES)
        if line is None:
            begun = buffer[at : at + SIZE_LINE_LIMIT_BYTES]
            if len(begun) == SIZE_LINE_LIMIT_BYTES or not _SIZE_LINE_BEGUN.match(begun):
                raise MalformedRequest("A chunk's size line is malformed.")
            return at
        self._extension_bytes += line.end(2) - line.start(2)
        if self._extension_bytes > EXTENSIONS_LIMIT_BYTES:
            raise MalformedRequest("The chunks carry too many extensions.")
        self._left = int(line[1], 16)
        self.announced_bytes += self._left
        self._step = "data" if self._left else "trailers"
        return line.end()

    def _read_trailer(self, buffer: bytearray, at: int) -> int:
        """One line behind the last chunk; the empty one ends the body."""
        room = TRAILERS_LIMIT_BYTES - self._trailer_bytes
        line = _TRAILER_LINE.match(buffer, at, at + room)
        if line is None:
            begun = buffer[at : at + room]
            if len(begun) == room or not _TRAILER_LINE_BEGUN.match(begun):
                raise MalformedRequest("The trailers are malformed or too long.")
            return at
        self._trailer_bytes += line.end() - at
        self.ended = line[1] is None
        return line.end()
