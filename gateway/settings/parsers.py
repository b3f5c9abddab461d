"""Parsers of a setting's text, one for each kind, each with a description of what it accepts.

A parser gets text that is not empty and has no blanks at its ends. It raises ``ValueError`` for
anything that does not fit ``expected``. Nothing here knows a setting's name or where it came from.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from gateway.domain.identity import is_name
from gateway.domain.tokens import SECRET_LIMIT_BYTES, parse_secret

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

DURATION_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS_BYTES = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
PASSWORD_MIN_CHARS = 8
# The limit of a login: a longer password could be set but never used.
PASSWORD_MAX_BYTES = 1024

_DEFAULT_PORTS = {"http": 80, "https": 443}

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?\Z")
_SIZE = re.compile(r"([0-9]+)(B|KiB|MiB|GiB)?\Z")
_SHARE = re.compile(r"\d{1,3}(\.\d{1,9})?\Z", re.ASCII)
_INTEGER = re.compile(r"[0-9]{1,12}\Z")
# Labels of 1 to 63 characters: a longer one, or none, has no form in which it could be looked up.
_HOST = re.compile(
    r"(?:(?=[A-Za-z0-9])[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*(?<=[A-Za-z0-9])"
    r"|\[[0-9A-Fa-f:.]+\])\Z"
)
# What boto3 takes: it would refuse anything else when its client is made.
_S3_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\Z")
_REGION = re.compile(r"(?![0-9]+\Z)(?!-)[A-Za-z0-9-]{1,63}(?<!-)\Z")
_SENTRY_PROJECT = re.compile(r"[0-9]{1,20}\Z")
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
# A header's name; of a token's other characters (RFC 9110, section 5.6.2) no name in use has one,
# and ``*`` would stand for all headers.
_HEADER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?\Z")
_SERVICE = re.compile(r"\A(https?://)_[A-Za-z0-9-]+\._[A-Za-z0-9-]+\.")
_GRPC = re.compile(r"\A((?:dns\+|srv\+)?)grpc(s?://)")
# No path, and no port that goes without saying.
_GRPC_PLACE = re.compile(r"\A(?:srv\+grpcs?://[^/]+|(?:dns\+)?grpcs?://[^/]+:[0-9]+)/?\Z")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+\Z")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}\Z")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SeveralFaults(ValueError):
    """A text with more than one part that does not fit; each is a fault by itself.

    ``faults`` has what was found and what was expected of each.
    """

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__(str(self.faults))


@dataclass(frozen=True, slots=True)
class Parser:
    """``expected`` follows the word "expected" in a fault and on the settings page."""

    expected: str
    parse: Callable[[str], Any]


def _refuse_unless(condition: bool, text: str) -> None:
    if not condition:
        raise ValueError(text)


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        _refuse_unless(pattern.match(text) is not None, text)
        return text

    return parse


def integer(low: int, high: int) -> Parser:
    def parse(text: str) -> int:
        _refuse_unless(_INTEGER.match(text) is not None, text)
        _refuse_unless(low <= int(text) <= high, text)
        return int(text)

    return Parser(f"a whole number from {low} to {high}", parse)


def seconds_of(text: str) -> float:
    """``24h``, ``15m``, ``30s``, ``500ms``, ``2d`` or plain seconds, as seconds."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(text)
    return float(match[1]) * DURATION_UNITS_S[match[2] or "s"]


def duration(low: str, high: str) -> Parser:
    """A time span in seconds; the limits are written as a user writes them."""

    def parse(text: str) -> float:
        value = seconds_of(text)
        _refuse_unless(seconds_of(low) <= value <= seconds_of(high), text)
        return value

    return Parser(f"a duration from {low} to {high}, such as 500ms, 30s, 15m, 24h", parse)


def bytes_of(text: str) -> int:
    """``100MiB``, ``64KiB``, ``1GiB`` or plain bytes, as bytes."""
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * SIZE_UNITS_BYTES[match[2] or "B"]


def _parse_share(text: str) -> float:
    _refuse_unless(_SHARE.match(text) is not None, text)
    _refuse_unless(0.0 <= float(text) <= 1.0, text)
    return float(text)


def size(low: str, high: str) -> Parser:
    def parse(text: str) -> int:
        value = bytes_of(text)
        _refuse_unless(bytes_of(low) <= value <= bytes_of(high), text)
        return value

    return Parser(f"a size from {low} to {high}, such as 4096, 64KiB, 16MiB, 1GiB", parse)


def choice(*words: str) -> Parser:
    def parse(text: str) -> str:
        _refuse_unless(text in words, text)
        return text

    return Parser("one of " + ", ".join(words), parse)


def list_of(item: Parser, what: str, *, at_least: int = 0) -> Parser:
    """Comma-separated items as a tuple; an empty item or the same one twice is refused."""

    def parse(text: str) -> tuple[Any, ...]:
        parts = [part.strip() for part in text.split(",")]
        _refuse_unless(all(parts) and len(parts) >= at_least, text)
        items = tuple(item.parse(part) for part in parts)
        _refuse_unless(len(set(items)) == len(items), text)
        return items

    return Parser(f"a comma-separated list of {what}, each once", parse)


def _parse_boolean(text: str) -> bool:
    _refuse_unless(text in ("true", "false"), text)
    return text == "true"


def _split_url(text: str) -> SplitResult:
    """An http(s) URL that has a host, and nothing that does not belong into a base URL."""
    parts = urlsplit(text)
    _refuse_unless(parts.scheme in ("http", "https") and "@" not in parts.netloc, text)
    _refuse_unless(not parts.query and not parts.fragment and "?" not in text, text)
    _refuse_unless(not re.search(r"[\s\x00-\x1f\x7f\\#]", text), text)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    _refuse_unless(_HOST.match(host) is not None, text)
    _refuse_unless(parts.port is None or parts.port > 0, text)
    return parts


def _parse_url(text: str) -> str:
    _split_url(text)
    return text.rstrip("/")


def _parse_core(text: str) -> str:
    """A core's URL, or a name to look up: ``dns+http://name[:port]``, ``srv+http://name``.

    ``grpc`` stands in place of ``http``, and ``grpcs`` of ``https``, where it is asked over gRPC.
    """
    as_http = _GRPC.sub(r"\1http\2", text)
    _parse_http_core(as_http)
    if as_http != text:
        _refuse_unless(_GRPC_PLACE.search(text) is not None, text)
    return text.rstrip("/")


def _parse_http_core(text: str) -> None:
    if not text.startswith("srv+"):
        _split_url(text.removeprefix("dns+"))
        return
    url = text.removeprefix("srv+")
    # ``_service._proto.`` is part of such a name, and of no other.
    parts = _split_url(_SERVICE.sub(r"\1", url))
    _refuse_unless(parts.port is None and not parts.netloc.startswith("["), text)


def _parse_bare_url(text: str) -> str:
    parts = _split_url(text)
    host = parts.hostname or ""
    _refuse_unless(parts.path in ("", "/"), text)
    _refuse_unless(":" in host or _S3_HOST.match(host) is not None, text)
    return text.rstrip("/")


def _parse_origin(text: str) -> str:
    """An origin as browsers write it (the HTML standard's serialization): it is compared as text.

    They never write a scheme's own port, so ``https://a.example:443`` would match none.
    """
    if text == "*":
        return text
    parts = _split_url(text)
    _refuse_unless(not parts.path and text == text.lower(), text)
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{_host_of_origin(parts.hostname or '')}{port}"


def _host_of_origin(host: str) -> str:
    """An IPv6 address in its short form; any other host that ends in a number is an IPv4 one."""
    if ":" in host:
        return f"[{ipaddress.IPv6Address(host)}]"
    numeric = _NUMERIC_LABEL.match(host.rpartition(".")[2]) is not None
    return str(ipaddress.IPv4Address(host)) if numeric else host


def _parse_header(text: str) -> str:
    _refuse_unless(_HEADER.match(text) is not None, text)
    return text.lower()


def _parse_dsn(text: str) -> str:
    parts = urlsplit(text)
    _refuse_unless(parts.scheme in ("http", "https") and bool(parts.hostname), text)
    # The port is parsed by being read.
    _refuse_unless(bool(parts.username) and parts.port != 0, text)
    _refuse_unless(_SENTRY_PROJECT.match(parts.path.rpartition("/")[2]) is not None, text)
    return text


def _parse_address(text: str) -> str:
    """``host:port``; an IPv6 host stands in brackets."""
    host, separator, port = text.rpartition(":")
    _refuse_unless(bool(separator) and _HOST.match(host) is not None, text)
    _parse_host(host)
    integer(1, 65535).parse(port)
    return text


def _parse_host(text: str) -> str:
    """A host to listen on or to call. Brackets belong to URLs: an IPv6 address is used without."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        ipaddress.IPv6Address(text)
    elif _HOST.match(text) is None:
        ipaddress.ip_address(text)
    return text


def _parse_network(text: str) -> Network:
    """A network; one of IPv4 addresses in IPv6's spelling is the IPv4 network.

    Addresses are compared in their normal form, which is IPv4 for these.
    """
    network = ipaddress.ip_network(text, strict=True)
    first = network.network_address
    mapped = first.ipv4_mapped if isinstance(first, ipaddress.IPv6Address) else None
    if mapped is None:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))


def _parse_header_secret(text: str) -> str:
    """A secret that is sent in a header: visible ASCII only, so that it cannot end the header."""
    # An empty text (of an empty file) would count as printable.
    _refuse_unless(bool(text) and text.isascii() and text.isprintable() and " " not in text, "")
    return text


def _parse_password(text: str) -> str:
    _refuse_unless(len(text) >= PASSWORD_MIN_CHARS, "")
    _refuse_unless(len(text.encode()) <= PASSWORD_MAX_BYTES, "")
    return text


def _parse_password_hash(text: str) -> str:
    _refuse_unless(text.startswith("$argon2id$") and text.count("$") == 5, "")
    return text


def _parse_name(text: str) -> str:
    _refuse_unless(is_name(text), text)
    return text


def _parse_path(text: str) -> Path:
    """Names of files have no NUL; in TOML one can be written."""
    _refuse_unless("\0" not in text, text)
    return Path(text)


def _parse_directory(text: str) -> Path:
    _refuse_unless(Path(text).is_dir(), text)
    return Path(text)


def _parse_text(text: str) -> str:
    _refuse_unless(text.isprintable(), text)
    return text


TEXT = Parser("text on one line", _parse_text)
BOOLEAN = Parser("true or false", _parse_boolean)
HOST = Parser("a host name or an IP address", _parse_host)
ADDRESS = Parser("host:port", _parse_address)
URL = Parser(
    "an http:// or https:// address without user, query or fragment, such as http://core:8100",
    _parse_url,
)
CORE = Parser(
    "an http:// or https:// address without user, query or fragment, such as http://core:8100;"
    " dns+http://name:port for every address of that name; srv+http://name for its SRV records;"
    " with grpc or grpcs in place of http or https, without a path and with a port",
    _parse_core,
)
BARE_URL = Parser(
    "an http:// or https:// address with no path, and no _ in its name, such as"
    " https://s3.example.com",
    _parse_bare_url,
)
REGION = Parser(
    "a region's name of letters, digits and hyphens, such as us-east-1", _matching(_REGION)
)
ORIGIN = Parser("a lower-case origin such as https://app.example.com, or *", _parse_origin)
HEADER = Parser("the name of a header, such as X-Client-Version", _parse_header)
SHARE = Parser("a share from 0 to 1, such as 0.1", _parse_share)
DSN = Parser("a Sentry DSN, such as https://<key>@sentry.example.com/<number>", _parse_dsn)
NETWORK = Parser("a network such as 10.0.0.0/8", _parse_network)
PATH = Parser("the path of a file", _parse_path)
DIRECTORY = Parser("the path of a directory that exists", _parse_directory)
BUCKET = Parser(
    "a bucket name: 3 to 63 of lower-case letters, digits, dots and hyphens", _matching(_BUCKET)
)
MEDIA_TYPE = Parser("a media type in lower case, such as text/plain", _matching(_MEDIA_TYPE))
NAME = Parser(
    "a name: a lower-case letter or digit, then up to 63 of a-z, 0-9, '_' and '-'", _parse_name
)
JWT_SECRET = Parser(
    f"at least {SECRET_LIMIT_BYTES} random bytes, raw or base64url after the prefix 'base64url:'",
    parse_secret,
)
TOKEN = Parser("visible ASCII characters with no blank", _parse_header_secret)
PASSWORD = Parser(
    f"at least {PASSWORD_MIN_CHARS} characters and at most {PASSWORD_MAX_BYTES} bytes",
    _parse_password,
)
PASSWORD_HASH = Parser(
    "an argon2id hash ($argon2id$v=19$…), as the users file has it", _parse_password_hash
)
