"""A table of bad inputs, each with its status and its code; none ends in a 5xx (501 apart).

Everything is written to a socket byte by byte: a client library would mend half of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from gateway.domain.strict_json import decode_json
from gateway.edge.http import bodies
from gateway.errors import ValidationFailed

from .conftest import Gateway, running_gateway
from .forging import GOOD, NOW, forge
from .raw import Answer, assert_error_shape, exchange, read_answer, request
from .stub_core import stub_core

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
MIB = 1024 * 1024
JSON = "application/json"
ANNOUNCED = {"filename": "a.txt", "content_type": "text/plain", "size": 5}


@dataclass(frozen=True)
class Bad:
    """One bad input. ``{alice}`` and ``{root}`` in ``data`` stand for tokens of these users."""

    name: str
    data: bytes
    status: int
    code: str


def ask(
    body: bytes | str,
    content_type: str | None = JSON,
    target: str = "/api/v1/query",
    extra: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """A POST of ``body`` by alice."""
    headers = [("Authorization", "Bearer {alice}"), *extra]
    if content_type is not None:
        headers.append(("Content-Type", content_type))
    data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    return request("POST", target, headers, data)


def announce(body: bytes | str | dict[str, Any], content_type: str | None = JSON) -> bytes:
    text = json.dumps(body) if isinstance(body, dict) else body
    return ask(text, content_type, "/api/v1/documents")


def get(target: str, who: str = "alice", method: str = "GET") -> bytes:
    return request(method, target, {"Authorization": f"Bearer {{{who}}}"})


def me(*headers: tuple[str, str]) -> bytes:
    return request("GET", "/api/v1/auth/me", list(headers))


def with_token(token: str) -> bytes:
    return me(("Authorization", f"Bearer {token}"))


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\n%b\r\n" % part for part in parts) + end


def field(name: str, text: str = "1", extra: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{extra}\r\n\r\n{text}'.encode()


FORM_FIELDS = [field(name, str(text)) for name, text in ANNOUNCED.items()]
FORM = "multipart/form-data; boundary=x"
INVALID = (400, "VALIDATION_ERROR")
MALFORMED = (400, "MALFORMED_REQUEST")
MISSING = (404, "NOT_FOUND")
TOO_LARGE = (413, "PAYLOAD_TOO_LARGE")
WRONG_TYPE = (415, "UNSUPPORTED_MEDIA_TYPE")
NOBODY = (401, "UNAUTHENTICATED")
AMBIGUOUS = (401, "AMBIGUOUS_CREDENTIALS")
BAD_METHOD = (405, "METHOD_NOT_ALLOWED")
NO_SUCH_METHOD = (501, "NOT_IMPLEMENTED")


BODIES = [
    Bad("JSON cut short", ask('{"query": "hi"'), *INVALID),
    Bad("JSON with a trailing comma", ask('{"query": "hi",}'), *INVALID),
    Bad("JSON with single quotes", ask("{'query': 'hi'}"), *INVALID),
    Bad("two JSON texts", ask('{"query": "hi"}{"query": "hi"}'), *INVALID),
    Bad("JSON with a comment", ask('{"query": "hi"} // so'), *INVALID),
    Bad("only blanks", ask("   "), *INVALID),
    Bad("an empty body", ask(""), *INVALID),
    Bad("a null", ask("null"), *INVALID),
    Bad("an array", ask('[{"query": "hi"}]'), *INVALID),
    Bad("a string", ask('"hi"'), *INVALID),
    Bad("an empty object", ask("{}"), *INVALID),
    Bad("a number for the query", ask('{"query": 7}'), *INVALID),
    Bad("null for the query", ask('{"query": null}'), *INVALID),
    Bad("an empty query", ask('{"query": ""}'), *INVALID),
    Bad("a query too long", ask(json.dumps({"query": "x" * 8193})), *INVALID),
    Bad("a string for top_k", ask('{"query": "hi", "top_k": "5"}'), *INVALID),
    Bad("a fraction for top_k", ask('{"query": "hi", "top_k": 1.5}'), *INVALID),
    Bad("a boolean for top_k", ask('{"query": "hi", "top_k": true}'), *INVALID),
    Bad("top_k out of range", ask('{"query": "hi", "top_k": 51}'), *INVALID),
    Bad("null for top_k", ask('{"query": "hi", "top_k": null}'), *INVALID),
    Bad("a string for stream", ask('{"query": "hi", "stream": "no"}'), *INVALID),
    Bad("an object for document_ids", ask('{"query": "hi", "document_ids": {}}'), *INVALID),
    Bad("a wrong id in document_ids", ask('{"query": "hi", "document_ids": ["x"]}'), *INVALID),
    Bad(
        "an id with a line feed behind it",
        ask(json.dumps({"query": "hi", "document_ids": [DOCUMENT + "\n"]})),
        *INVALID,
    ),
    Bad(
        "101 document ids",
        ask(json.dumps({"query": "hi", "document_ids": [DOCUMENT] * 101})),
        *INVALID,
    ),
    Bad(
        "an upper-case conversation",
        ask(json.dumps({"query": "hi", "conversation_id": DOCUMENT.upper()})),
        *INVALID,
    ),
    Bad("an unknown field", ask('{"query": "hi", "admin": true}'), *INVALID),
    Bad("a field in another case", ask('{"Query": "hi"}'), *INVALID),
    Bad("a key twice", ask('{"query": "hi", "query": "ho"}'), *INVALID),
    Bad("a key twice in two spellings", ask('{"query": "a", "\\u0071uery": "b"}'), *INVALID),
    Bad("NaN", ask('{"query": "hi", "top_k": NaN}'), *INVALID),
    Bad("Infinity", ask('{"query": "hi", "top_k": Infinity}'), *INVALID),
    Bad("minus Infinity", ask('{"query": "hi", "top_k": -Infinity}'), *INVALID),
    Bad("a number beyond floats", ask('{"query": "hi", "top_k": 1e999}'), *INVALID),
    Bad("a number of 5,000 digits", ask('{"query": "hi", "top_k": ' + "9" * 5000 + "}"), *INVALID),
    Bad("a lone high surrogate", ask('{"query": "\\ud800"}'), *INVALID),
    Bad("a lone low surrogate as a key", ask('{"query": "hi", "\\udc00": 1}'), *INVALID),
    Bad("a lone surrogate in bytes", ask('{"query": "\ud800"}'), *INVALID),
    Bad("an escaped NUL", ask('{"query": "a\\u0000b"}'), *INVALID),
    Bad("a raw NUL", ask('{"query": "a\0b"}'), *INVALID),
    Bad("a raw control character", ask('{"query": "a\nb"}'), *INVALID),
    Bad("invalid UTF-8", ask(b'{"query": "\xff\xfe"}'), *INVALID),
    Bad("overlong UTF-8", ask(b'{"query": "\xc0\xaf"}'), *INVALID),
    Bad("UTF-16", ask('{"query": "hi"}'.encode("utf-16")), *INVALID),
    Bad("a byte order mark", ask(b'\xef\xbb\xbf{"query": "hi"}'), *INVALID),
    Bad("10,000 brackets", ask("[" * 10_000), *INVALID),
    Bad("500,000 brackets, closed", ask("[" * 500_000 + "]" * 500_000), *INVALID),
    Bad("objects 5,000 deep", ask('{"a":' * 5000 + "1" + "}" * 5000), *INVALID),
    Bad("33 levels", ask('{"query": "hi", "x": ' + "[" * 33 + "]" * 33 + "}"), *INVALID),
    Bad("one byte above 1 MiB", ask(b'{"query": "%b"}' % (b"x" * (MIB - 12))), *TOO_LARGE),
    Bad(
        "announced as 8 GiB",
        request(
            "POST",
            "/api/v1/query",
            {
                "Authorization": "Bearer {alice}",
                "Content-Type": JSON,
                "Content-Length": str(8 * 1024 * MIB),
            },
        ),
        *TOO_LARGE,
    ),
    Bad(
        "just below 1 MiB of keys",
        ask("{" + ",".join(f'"{i}":1' for i in range(90_000)) + "}"),
        *INVALID,
    ),
    Bad("no content type", ask('{"query": "hi"}', None), *WRONG_TYPE),
    Bad("plain text", ask('{"query": "hi"}', "text/plain"), *WRONG_TYPE),
    Bad(
        "a form where none is taken",
        ask("query=hi", "application/x-www-form-urlencoded"),
        *WRONG_TYPE,
    ),
    Bad("multipart where none is taken", ask(form(field("query")), FORM), *WRONG_TYPE),
    Bad(
        "JSON in Latin-1",
        ask('{"query": "hi"}', "application/json; charset=iso-8859-1"),
        *WRONG_TYPE,
    ),
    Bad("an empty content type", ask('{"query": "hi"}', ""), *WRONG_TYPE),
    Bad("a content type that is none", ask('{"query": "hi"}', "json"), *WRONG_TYPE),
    Bad(
        "two content types",
        ask('{"query": "hi"}', JSON, extra=(("Content-Type", "text/plain"),)),
        *WRONG_TYPE,
    ),
    Bad(
        "a compressed body",
        ask(b"\x1f\x8b", JSON, extra=(("Content-Encoding", "gzip"),)),
        *WRONG_TYPE,
    ),
    Bad(
        "no body at all",
        request("POST", "/api/v1/query", {"Authorization": "Bearer {alice}"}),
        *WRONG_TYPE,
    ),
    Bad(
        "a login without a password",
        request("POST", "/auth/login", {"Content-Type": JSON}, b'{"username": "alice"}'),
        *INVALID,
    ),
    Bad(
        "a login with an object for a name",
        request(
            "POST",
            "/auth/login",
            {"Content-Type": JSON},
            b'{"username": {"$ne": 1}, "password": "x"}',
        ),
        *INVALID,
    ),
    Bad(
        "a login of nobody",
        request(
            "POST",
            "/auth/login",
            {"Content-Type": JSON},
            b'{"username": "nobody", "password": "x"}',
        ),
        401,
        "INVALID_CREDENTIALS",
    ),
    Bad(
        "a login with a NUL",
        request(
            "POST",
            "/auth/login",
            {"Content-Type": JSON},
            b'{"username": "alice\\u0000", "password": "x"}',
        ),
        *INVALID,
    ),
    Bad("a key without scopes", ask('{"name": "k", "scopes": []}', JSON, "/api/v1/keys"), *INVALID),
    Bad(
        "a key with an unknown scope",
        ask('{"name": "k", "scopes": ["all"]}', JSON, "/api/v1/keys"),
        *INVALID,
    ),
    Bad(
        "a key for negative seconds",
        ask('{"name": "k", "scopes": ["query:run"], "expires_in": -1}', JSON, "/api/v1/keys"),
        *INVALID,
    ),
    Bad(
        "a key for ever and a day",
        ask(
            '{"name": "k", "scopes": ["query:run"], "expires_in": 99999999999999999999}',
            JSON,
            "/api/v1/keys",
        ),
        *INVALID,
    ),
    Bad(
        "a rotation with a long overlap",
        ask('{"overlap": 604801}', JSON, "/api/v1/keys/aaaaaaaaaaaaaaaa/rotate"),
        *INVALID,
    ),
    Bad("part 0", ask('{"parts": [0]}', JSON, f"/api/v1/documents/{DOCUMENT}/parts"), *INVALID),
    Bad(
        "parts of words",
        ask('{"parts": ["one"]}', JSON, f"/api/v1/documents/{DOCUMENT}/parts"),
        *INVALID,
    ),
    Bad(
        "parts of a document that is none",
        ask('{"parts": [1]}', JSON, f"/api/v1/documents/{DOCUMENT}/parts"),
        *MISSING,
    ),
]

ANNOUNCEMENTS = [
    Bad("a size of nought", announce({**ANNOUNCED, "size": 0}), *INVALID),
    Bad("a negative size", announce({**ANNOUNCED, "size": -5}), *INVALID),
    Bad("a size too large", announce({**ANNOUNCED, "size": 2**30 + 1}), *INVALID),
    Bad("a size beyond 64 bits", announce({**ANNOUNCED, "size": 2**70}), *INVALID),
    Bad("a size with a fraction", announce({**ANNOUNCED, "size": 5.5}), *INVALID),
    Bad("an upper-case checksum", announce({**ANNOUNCED, "sha256": "A" * 64}), *INVALID),
    Bad("a type that is not taken", announce({**ANNOUNCED, "content_type": "image/png"}), *INVALID),
    Bad("a name that is a path", announce({**ANNOUNCED, "filename": "../a.txt"}), *INVALID),
    Bad("a name with a line feed", announce({**ANNOUNCED, "filename": "a\r\nX: y.txt"}), *INVALID),
    Bad("a name of another type", announce({**ANNOUNCED, "filename": "a.exe"}), *INVALID),
    Bad(
        "a name of 300 characters",
        announce({**ANNOUNCED, "filename": "a" * 300 + ".txt"}),
        *INVALID,
    ),
    Bad(
        "a name written backwards", announce({**ANNOUNCED, "filename": "a\u202etxt.txt"}), *INVALID
    ),
    Bad("an unknown upload method", announce({**ANNOUNCED, "upload_method": "PATCH"}), *INVALID),
    Bad("an owner in the body", announce({**ANNOUNCED, "owner": "bob"}), *INVALID),
    Bad("a form without a boundary", announce(form(*FORM_FIELDS), "multipart/form-data"), *INVALID),
    Bad(
        "a form with an empty boundary",
        announce(form(*FORM_FIELDS), 'multipart/form-data; boundary=""'),
        *INVALID,
    ),
    Bad(
        "a boundary of another form",
        announce(form(*FORM_FIELDS), "multipart/form-data; boundary=y"),
        *INVALID,
    ),
    Bad(
        "a boundary of 1,000 characters",
        announce(form(*FORM_FIELDS), "multipart/form-data; boundary=" + "x" * 1000),
        *INVALID,
    ),
    Bad(
        "a boundary in another alphabet",
        announce(form(*FORM_FIELDS), "multipart/form-data; boundary=ы"),
        *INVALID,
    ),
    Bad("two of a field", announce(form(*FORM_FIELDS, field("size", "6")), FORM), *INVALID),
    Bad(
        "a file in the form",
        announce(form(*FORM_FIELDS, field("file", "x", '; filename="a.txt"')), FORM),
        *INVALID,
    ),
    Bad(
        "a file for a field",
        announce(form(*FORM_FIELDS[:2], field("size", "5", '; filename="a"')), FORM),
        *INVALID,
    ),
    Bad("130,000 whole parts", announce(form(*[b"\r\n"] * 130_000), FORM), *TOO_LARGE),
    Bad("185,000 parts", announce(b"--x\r\n" * 185_000, FORM), *TOO_LARGE),
    Bad("17 parts", announce(form(*[field(f"f{i}") for i in range(17)]), FORM), *TOO_LARGE),
    Bad("a part of 65 KiB", announce(form(field("filename", "a" * 66_000)), FORM), *TOO_LARGE),
    Bad("a form cut short", announce(form(*FORM_FIELDS, end=b""), FORM), *INVALID),
    Bad(
        "a form cut inside a part's head",
        announce(form(*FORM_FIELDS, end=b"--x\r\nContent-Dis"), FORM),
        *INVALID,
    ),
    Bad("a form that is only an end", announce(b"--x--\r\n", FORM), *INVALID),
    Bad("an empty form", announce(b"", FORM), *INVALID),
    Bad(
        "a part without a name",
        announce(form(b"Content-Disposition: form-data\r\n\r\n1"), FORM),
        *INVALID,
    ),
    Bad("a part without a head", announce(form(b"\r\n1"), FORM), *INVALID),
    Bad(
        "a part with no disposition",
        announce(form(b"Content-Type: text/plain\r\n\r\n1"), FORM),
        *INVALID,
    ),
    Bad(
        "a part's head of 20 KiB",
        announce(form(field("size", "5", '; x="' + "y" * 20_000 + '"')), FORM),
        *TOO_LARGE,
    ),
    Bad(
        "a part in Latin-1",
        announce(
            form(*FORM_FIELDS[1:], field("filename").replace(b"\r\n\r\n1", b"\r\n\r\n\xe9.txt")),
            FORM,
        ),
        *INVALID,
    ),
    Bad(
        "a part in UTF-16",
        announce(
            form(
                *FORM_FIELDS[1:],
                field("filename", "a.txt", "\r\nContent-Type: text/plain; charset=utf-16"),
            ),
            FORM,
        ),
        *INVALID,
    ),
    Bad(
        "a part that is base64",
        announce(
            form(
                *FORM_FIELDS[1:],
                field("filename", "YS50eHQ=", "\r\nContent-Transfer-Encoding: base64"),
            ),
            FORM,
        ),
        *INVALID,
    ),
    Bad(
        "a NUL in a part",
        announce(form(*FORM_FIELDS[1:], field("filename", "a\0.txt")), FORM),
        *INVALID,
    ),
    Bad(
        "a part's name in Latin-1",
        announce(form(field("filename").replace(b"filename", b"\xe9")), FORM),
        *INVALID,
    ),
    Bad(
        "a word for the size",
        announce(form(*FORM_FIELDS[:2], field("size", "five")), FORM),
        *INVALID,
    ),
    Bad(
        "a size in other digits",
        announce(form(*FORM_FIELDS[:2], field("size", "٥")), FORM),
        *INVALID,
    ),
    Bad("a boundary twice", announce(form(*FORM_FIELDS), FORM + "; boundary=y"), *WRONG_TYPE),
    Bad("a form in UTF-7", announce(form(*FORM_FIELDS), FORM + "; charset=utf-7"), *WRONG_TYPE),
]

TARGETS = [
    Bad("an unknown path", get("/api/v1/nothing"), *MISSING),
    Bad("an unknown path, nobody", request("GET", "/nothing"), *MISSING),
    Bad("a trailing slash", get("/api/v1/documents/"), *MISSING),
    Bad("two slashes", get("//api/v1/documents"), *MISSING),
    Bad("dots in the path", get("/api/v1/../v1/documents"), *MISSING),
    Bad("an upper-case path", get("/API/v1/documents"), *MISSING),
    Bad("an encoded slash", get("/api/v1/documents%2F" + DOCUMENT), *MISSING),
    Bad("an upper-case id", get(f"/api/v1/documents/{DOCUMENT.upper()}"), *MISSING),
    Bad("an id without dashes", get(f"/api/v1/documents/{DOCUMENT.replace('-', '')}"), *MISSING),
    Bad("an id in braces", get(f"/api/v1/documents/{{{DOCUMENT}}}"), *MISSING),
    Bad("a UUIDv4", get("/api/v1/documents/6f1c2d3e-4a5b-4c6d-8e9f-0a1b2c3d4e5f"), *MISSING),
    Bad("an id and a line feed", get(f"/api/v1/documents/{DOCUMENT}%0A"), *MISSING),
    Bad("an id and a NUL", get(f"/api/v1/documents/{DOCUMENT}%00"), *MISSING),
    Bad("an id and a blank", get(f"/api/v1/documents/%20{DOCUMENT}"), *MISSING),
    Bad(
        "an id in percents",
        get("/api/v1/documents/" + "".join(f"%{ord(c):02x}" for c in DOCUMENT)),
        *MISSING,
    ),
    Bad("somebody else's path as an id", get("/api/v1/documents/..%2Fbob%2F" + DOCUMENT), *MISSING),
    Bad("the id of nothing", get(f"/api/v1/keys/{DOCUMENT}", method="DELETE"), *MISSING),
    Bad("an upper-case key id", get("/api/v1/keys/AAAAAAAAAAAAAAAA", method="DELETE"), *MISSING),
    Bad("a lone percent in the path", get("/api/v1/documents/%"), *MISSING),
    Bad("a bad percent in the path", get("/api/v1/documents/%zz"), *MISSING),
    Bad("bytes that are no UTF-8 in the path", get("/api/v1/documents/%ff%fe"), *MISSING),
    Bad("raw UTF-8 in the path", get("/api/v1/documents/é"), *MALFORMED),
    Bad("a raw byte in the path", get("/api/v1/documents/\udcff"), *MALFORMED),
    Bad("a target of 10 KiB", get("/api/v1/documents?cursor=" + "a" * 10_000), 414, "URI_TOO_LONG"),
    Bad("a long path", get("/" + "a" * 10_000), 414, "URI_TOO_LONG"),
    Bad("an unknown parameter", get("/api/v1/documents?all=1"), *INVALID),
    Bad("a parameter where none is read", get("/api/v1/auth/me?x=1"), *INVALID),
    Bad("a parameter on a public route", request("GET", "/healthz?x=1"), *INVALID),
    Bad("a parameter twice", get("/api/v1/documents?limit=1&limit=2"), *INVALID),
    Bad("a parameter without a value", get("/api/v1/documents?limit"), *INVALID),
    Bad("an empty parameter", get("/api/v1/documents?limit="), *INVALID),
    Bad("a parameter of brackets", get("/api/v1/documents?limit[]=1"), *INVALID),
    Bad("a bad percent in the query", get("/api/v1/documents?limit=%zz"), *INVALID),
    Bad("no UTF-8 in the query", get("/api/v1/documents?cursor=%ff"), *INVALID),
    Bad("a NUL in the query", get("/api/v1/documents?cursor=%00"), *INVALID),
    Bad(
        "17 parameters",
        get("/api/v1/documents?" + "&".join(f"p{i}=1" for i in range(17))),
        *INVALID,
    ),
    Bad("limit 0", get("/api/v1/documents?limit=0"), *INVALID),
    Bad("limit 101", get("/api/v1/documents?limit=101"), *INVALID),
    Bad("limit -1", get("/api/v1/documents?limit=-1"), *INVALID),
    Bad("limit abc", get("/api/v1/documents?limit=abc"), *INVALID),
    Bad("limit 1.5", get("/api/v1/documents?limit=1.5"), *INVALID),
    Bad("limit with a blank", get("/api/v1/documents?limit=+5"), *INVALID),
    Bad("a limit of 5,000 digits", get("/api/v1/documents?limit=" + "9" * 5000), *INVALID),
    Bad("a cursor that is none", get("/api/v1/documents?cursor=next"), *INVALID),
    Bad("a cursor that is an id", get(f"/api/v1/documents?cursor={DOCUMENT}"), *INVALID),
    Bad("owner twice", get("/api/v1/documents?owner=bob&owner=carol", "root"), *INVALID),
    Bad("owner malformed", get("/api/v1/documents?owner=Bob", "root"), *INVALID),
    Bad("owner empty", get("/api/v1/documents?owner=", "root"), *INVALID),
    Bad("owner with a slash", get("/api/v1/documents?owner=other%2Fcarol", "root"), *INVALID),
    Bad("owner with a line feed", get("/api/v1/documents?owner=bob%0A", "root"), *INVALID),
    Bad("owner on another route", get("/api/v1/auth/me?owner=bob", "root"), *INVALID),
    Bad("owner on a query", ask('{"query": "hi"}', JSON, "/api/v1/query?owner=bob"), *INVALID),
    Bad(
        "owner on an announcement",
        ask(json.dumps(ANNOUNCED), JSON, "/api/v1/documents?owner=bob"),
        *INVALID,
    ),
    Bad(
        "owner on a login",
        request(
            "POST",
            "/auth/login?owner=bob",
            {"Content-Type": JSON},
            b'{"username": "alice", "password": "x"}',
        ),
        *INVALID,
    ),
]

TOKENS = [
    Bad("no credential", me(), *NOBODY),
    Bad("alg none, unsigned", with_token(forge({"alg": "none"}).rsplit(".", 1)[0] + "."), *NOBODY),
    Bad("alg none, signed", with_token(forge({"alg": "none"})), *NOBODY),
    Bad("alg None in capitals", with_token(forge({"alg": "NONE"})), *NOBODY),
    Bad("RS256 with the secret", with_token(forge({"alg": "RS256", "typ": "JWT"})), *NOBODY),
    Bad(
        "HS512 with the secret",
        with_token(forge({"alg": "HS512", "typ": "JWT"}, digest="sha512")),
        *NOBODY,
    ),
    Bad("hs256 in small letters", with_token(forge({"alg": "hs256"})), *NOBODY),
    Bad("no algorithm", with_token(forge({"typ": "JWT"})), *NOBODY),
    Bad(
        "a key by address", with_token(forge({"alg": "HS256", "jku": "http://evil.test"})), *NOBODY
    ),
    Bad(
        "critical extensions",
        with_token(forge({"alg": "HS256", "crit": ["b64"], "b64": False})),
        *NOBODY,
    ),
    Bad("another secret", with_token(forge(secret=b"y" * 40)), *NOBODY),
    Bad("an empty secret", with_token(forge(secret=b"")), *NOBODY),
    *(Bad(f"no {claim}", with_token(forge(without=claim)), *NOBODY) for claim in GOOD),
    Bad("a string for exp", with_token(forge(exp=str(NOW + 3600))), *NOBODY),
    Bad("a float for exp", with_token(forge(exp=NOW + 3600.0)), *NOBODY),
    Bad("a boolean for exp", with_token(forge(exp=True)), *NOBODY),
    Bad("null for exp", with_token(forge(exp=None)), *NOBODY),
    Bad("exp in milliseconds", with_token(forge(exp=(NOW + 3600) * 1000)), *NOBODY),
    Bad(
        "expired",
        with_token(forge(iat=NOW - 7200, nbf=NOW - 7200, exp=NOW - 1)),
        401,
        "TOKEN_EXPIRED",
    ),
    Bad("not yet valid", with_token(forge(nbf=NOW + 121)), *NOBODY),
    Bad("issued in the future", with_token(forge(iat=NOW + 121)), *NOBODY),
    Bad("another issuer", with_token(forge(iss="elsewhere")), *NOBODY),
    Bad("another audience", with_token(forge(aud="elsewhere")), *NOBODY),
    Bad("a list of audiences", with_token(forge(aud=["knowledge-base", "x"])), *NOBODY),
    Bad("a subject that is a path", with_token(forge(sub="../bob")), *NOBODY),
    Bad("a subject and a line feed", with_token(forge(sub="alice\n")), *NOBODY),
    Bad("a number for a subject", with_token(forge(sub=7)), *NOBODY),
    Bad("another tenant", with_token(forge(tenant="other")), *NOBODY),
    Bad("a string for roles", with_token(forge(roles="admin")), *NOBODY),
    Bad("numbers for roles", with_token(forge(roles=[1])), *NOBODY),
    Bad("nobody's subject", with_token(forge(sub="mallory")), *NOBODY),
    Bad("two parts", with_token("aaaa.bbbb"), *NOBODY),
    Bad("four parts", with_token(forge() + ".cccc"), *NOBODY),
    Bad("five parts", with_token("a.b.c.d.e"), *NOBODY),
    Bad("no base64", with_token("a!.b!.c!"), *NOBODY),
    Bad("a token of 7 KiB", with_token("a" * 7_000), *NOBODY),
    Bad("a token of 12 KiB", with_token("a" * 12_000), 431, "HEADERS_TOO_LARGE"),
    Bad("a token of 16 KiB", with_token("a" * 16_384), 431, "HEADERS_TOO_LARGE"),
    Bad("nothing after Bearer", me(("Authorization", "Bearer")), *NOBODY),
    Bad("blanks after Bearer", me(("Authorization", "Bearer   ")), *NOBODY),
    Bad("an empty Authorization", me(("Authorization", "")), *NOBODY),
    Bad("Basic", me(("Authorization", "Basic YWxpY2U6cHc=")), *NOBODY),
    Bad("Digest", me(("Authorization", "Digest username=alice")), *NOBODY),
    Bad("a token without a scheme", me(("Authorization", "{alice}")), *NOBODY),
    Bad("bytes for a token", me(("Authorization", "Bearer é\udcff")), *NOBODY),
    Bad("two Authorization headers", me(*[("Authorization", "Bearer {alice}")] * 2), *AMBIGUOUS),
    Bad(
        "two tokens in one header",
        me(("Authorization", "Bearer {alice}, Bearer {root}")),
        *AMBIGUOUS,
    ),
    Bad(
        "a token and a key",
        me(("Authorization", "Bearer {alice}"), ("X-API-Key", "kbg_x")),
        *AMBIGUOUS,
    ),
    Bad("two keys", me(*[("X-API-Key", "kbg_x")] * 2), *AMBIGUOUS),
    Bad(
        "a token and an empty key",
        me(("Authorization", "Bearer {alice}"), ("X-API-Key", "")),
        *AMBIGUOUS,
    ),
    Bad("a key that is none", me(("X-API-Key", "kbg_x")), *NOBODY),
    Bad("an empty key", me(("X-API-Key", "")), *NOBODY),
    Bad("a token as a key", me(("X-API-Key", "{alice}")), *NOBODY),
    Bad("a key of 7 KiB", me(("X-API-Key", "kbg_" + "a" * 7_000)), *NOBODY),
    Bad("a key of 12 KiB", me(("X-API-Key", "kbg_" + "a" * 12_000)), 431, "HEADERS_TOO_LARGE"),
    Bad(
        "a token in the query string",
        request("GET", "/api/v1/auth/me?access_token={alice}"),
        *NOBODY,
    ),
    Bad("a token in a cookie", me(("Cookie", "access_token={alice}")), *NOBODY),
]

EACH_KIND = {
    "public": "/healthz",
    "login": "/auth/login",
    "list": "/api/v1/documents",
    "id": f"/api/v1/documents/{DOCUMENT}",
    "act": f"/api/v1/documents/{DOCUMENT}/complete",
    "stream": "/api/v1/query",
}
METHODS = [
    Bad(f"{method} on {kind}", get(target, method=method), *answered)
    for kind, target in EACH_KIND.items()
    for method, answered in {
        "OPTIONS": BAD_METHOD,
        "PUT": NO_SUCH_METHOD,
        "PATCH": NO_SUCH_METHOD,
        "TRACE": NO_SUCH_METHOD,
        "CONNECT": NO_SUCH_METHOD,
        "FOO": NO_SUCH_METHOD,
        "get": NO_SUCH_METHOD,
    }.items()
] + [
    Bad("GET on a POST route", get("/api/v1/query"), *BAD_METHOD),
    Bad("DELETE on a list", get("/api/v1/documents", method="DELETE"), *BAD_METHOD),
    Bad("POST on a public route", request("POST", "/healthz", {}, b""), *BAD_METHOD),
    Bad(
        "a method override in a header",
        request(
            "POST",
            f"/api/v1/documents/{DOCUMENT}",
            {"X-HTTP-Method-Override": "DELETE", "Authorization": "Bearer {alice}"},
            b"",
        ),
        *BAD_METHOD,
    ),
    Bad(
        "a method override in the query",
        ask('{"query": "hi"}', JSON, "/api/v1/query?_method=DELETE"),
        *INVALID,
    ),
    Bad("FOO on an unknown path", get("/nothing", method="FOO"), *NO_SUCH_METHOD),
]

CHUNKED = {"Authorization": "Bearer {alice}", "Content-Type": JSON, "Transfer-Encoding": "chunked"}


def chunked(body: bytes) -> bytes:
    return request("POST", "/api/v1/query", CHUNKED) + body


WIRE = [
    Bad("no request line", b"\r\n\r\n", *MALFORMED),
    Bad("words", b"hello\r\n\r\n", *MALFORMED),
    Bad("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", *MALFORMED),
    Bad("HTTP/3.0", b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", *MALFORMED),
    Bad("two blanks", b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n", *MALFORMED),
    Bad("a header without a colon", b"GET /healthz HTTP/1.1\r\nHost: x\r\nfoo\r\n\r\n", *MALFORMED),
    Bad("a chunk size of words", chunked(b"zz\r\n{}\r\n0\r\n\r\n"), *MALFORMED),
    Bad("a negative chunk size", chunked(b"-2\r\n{}\r\n0\r\n\r\n"), *MALFORMED),
    Bad("a chunk size of 100 digits", chunked(b"1" * 100 + b"\r\n{}\r\n0\r\n\r\n"), *TOO_LARGE),
    Bad("a chunk size of 2 GiB", chunked(b"7fffffff\r\n{}"), *TOO_LARGE),
    Bad("chunks above 1 MiB", chunked(b"100001\r\n" + b"x" * (MIB + 1)), *TOO_LARGE),
    Bad("a trailer that is none", chunked(b"2\r\n{}\r\n0\r\nX y\r\n\r\n"), *MALFORMED),
    Bad(
        "Content-Length and chunked",
        request("POST", "/api/v1/query", {**CHUNKED, "Content-Length": "2"}) + b"{}",
        *MALFORMED,
    ),
    Bad(
        "two lengths",
        request("POST", "/api/v1/query", [("Content-Length", "2"), ("Content-Length", "3")])
        + b"{}",
        *MALFORMED,
    ),
    Bad(
        "a length of words",
        request("POST", "/api/v1/query", {"Content-Length": "two"}) + b"{}",
        *MALFORMED,
    ),
    Bad(
        "a negative length",
        request("POST", "/api/v1/query", {"Content-Length": "-2"}) + b"{}",
        *MALFORMED,
    ),
    Bad(
        "a length with a plus",
        request("POST", "/api/v1/query", {"Content-Length": "+2"}) + b"{}",
        *MALFORMED,
    ),
    Bad(
        "a transfer coding that is none",
        request("POST", "/api/v1/query", {**CHUNKED, "Transfer-Encoding": "gzip"}) + b"{}",
        *MALFORMED,
    ),
    Bad(
        "a transfer coding that is not known",
        request("POST", "/api/v1/query", {**CHUNKED, "Transfer-Encoding": "gzip, chunked"}),
        *NO_SUCH_METHOD,
    ),
    Bad(
        "a bogus expectation",
        ask('{"query": "hi"}', extra=(("Expect", "a-miracle"),)),
        417,
        "EXPECTATION_FAILED",
    ),
    Bad("a head of 20 KiB", me(("X-Padding", "a" * 20_000)), 431, "HEADERS_TOO_LARGE"),
    Bad(
        "a head that never ends",
        b"GET /healthz HTTP/1.1\r\n" + b"X-Padding: aaaaaaaa\r\n" * 1000,
        431,
        "HEADERS_TOO_LARGE",
    ),
    Bad(
        "a request id with a line feed",
        get("/nothing").replace(b"\r\n\r\n", b"\r\nX-Request-ID: a\nb\r\n\r\n"),
        *MALFORMED,
    ),
]

TABLE = [*BODIES, *ANNOUNCEMENTS, *TARGETS, *TOKENS, *METHODS, *WIRE]


@dataclass
class World:
    gateway: Gateway
    tokens: dict[str, str]

    def fill(self, data: bytes) -> bytes:
        """The tokens in; a Content-Length that is there stays true, as they stand in the head."""
        for name, token in self.tokens.items():
            data = data.replace(b"{%b}" % name.encode(), token.encode())
        return data

    async def send(self, data: bytes) -> Answer:
        return await exchange(self.gateway.address, self.fill(data))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with stub_core() as core, running_gateway(core) as gateway:
        yield World(gateway, {name: await gateway.token(name) for name in ("alice", "root")})


async def test_the_table_is_long_and_its_names_are_its_own() -> None:
    """At least 60 bad inputs are held; a name twice would hide one."""
    assert len(TABLE) >= 70
    names = [bad.name for bad in TABLE]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
async def test_a_bad_input_has_its_status_and_its_code(world: World, bad: Bad) -> None:
    """Each bad input is refused in the one shape, and the gateway goes on answering."""
    answer = await world.send(bad.data)
    assert (answer.status, answer.code) == (bad.status, bad.code), answer.body
    assert_error_shape(answer)
    if answer.status == 401:
        assert (answer.header("www-authenticate") or "").startswith("Bearer ")
    if answer.status == 405:
        assert answer.header("allow")
    assert (await world.send(request("GET", "/healthz"))).status == 200


@pytest.mark.parametrize("target", EACH_KIND.values(), ids=EACH_KIND.keys())
async def test_head_has_no_body_and_the_next_request_is_read(world: World, target: str) -> None:
    """HEAD is answered where GET is and 405 elsewhere, and never has a body."""
    reader, writer = await asyncio.open_connection(*world.gateway.address)
    writer.write(request("HEAD", target) + request("GET", "/healthz"))
    refused = await read_answer(reader, head_only=True)
    alive = await read_answer(reader)
    writer.close()
    got = await world.send(request("GET", target))
    assert (refused.status, alive.status) == (got.status, 200)
    assert refused.header("allow") == got.header("allow")


async def test_bytes_beyond_the_announced_length_are_another_request(world: World) -> None:
    """A body longer than its Content-Length never changes what was asked, and ends the talk."""
    reader, writer = await asyncio.open_connection(*world.gateway.address)
    asked = request("POST", "/auth/login", {"Content-Type": JSON}, b"{}") + b'"username"\r\n\r\n'
    writer.write(asked)
    answers = [await read_answer(reader), await read_answer(reader)]
    assert await reader.read() == b""
    writer.close()
    assert [(answer.status, answer.code) for answer in answers] == [INVALID, MALFORMED]


async def test_a_body_that_never_comes_harms_nobody(world: World) -> None:
    """A client that leaves in the middle of its body harms no other request."""
    _, writer = await asyncio.open_connection(*world.gateway.address)
    writer.write(world.fill(ask('{"query": "hi"}')[:-5]))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await world.send(request("GET", "/healthz"))).status == 200


async def test_a_waited_for_100_continue_comes(world: World) -> None:
    """The one expectation there is (RFC 9110, 10.1.1) is met before the body is read."""
    reader, writer = await asyncio.open_connection(*world.gateway.address)
    body = b'{"username": "alice", "password": "wrong"}'
    headers = {"Content-Type": JSON, "Expect": "100-continue", "Content-Length": str(len(body))}
    writer.write(request("POST", "/auth/login", headers))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_answer(reader)).status == 401
    writer.close()


COSTLY = (
    "185,000 parts",
    "130,000 whole parts",
    "500,000 brackets, closed",
    "just below 1 MiB of keys",
    "one byte above 1 MiB",
)


async def test_costly_bad_inputs_hold_up_nobody(world: World) -> None:
    """While costly inputs are refused, other connections' requests are answered in between."""
    bad = [found for found in TABLE if found.name in COSTLY]
    assert len(bad) == len(COSTLY)
    finished: list[str] = []

    async def run(name: str, data: bytes) -> int:
        answer = await world.send(data)
        finished.append(name)
        return answer.status

    costly = [run("costly", found.data) for found in bad * 4]
    cheap = [run("cheap", request("GET", "/healthz")) for _ in costly]
    statuses = await asyncio.gather(
        *(one for pair in zip(costly, cheap, strict=True) for one in pair)
    )
    assert set(statuses[1::2]) == {200}
    assert statuses[0::2] == [found.status for found in bad * 4]
    assert "cheap" in finished[: len(bad)], "every cheap request waited for all the costly ones"


async def test_a_form_too_large_is_never_parsed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cap comes before the parser, so what a form costs is bounded by what it may hold."""

    def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("a form above the limit was given to the parser")

    monkeypatch.setattr(bodies, "PushMultipartParser", unwanted)
    answer = await world.send(announce(b"--x\r\n" * 185_000, FORM))
    assert (answer.status, answer.code) == TOO_LARGE


async def test_hostile_json_costs_little_more_than_plain_json() -> None:
    """Depth, odd keys and odd numbers take no more than some times what a plain text takes."""
    plain = _cost_s(b"[%b1]" % (b'"abcdefg",' * 100_000))
    for hostile in (
        b"[" * 500_000 + b"]" * 500_000,
        b'{"a":' * 160_000,
        b"[%b1]" % (b"9" * 1_000_000),
        b"[%b1]" % (b"[]," * 333_000),
        b"{%b}" % b",".join(b'"%d":1' % n for n in range(90_000)),
    ):
        assert _cost_s(hostile) < 30 * plain


def _cost_s(body: bytes) -> float:
    """CPU seconds of reading or refusing ``body``: the best of three, to leave pauses out."""
    spent: list[float] = []
    for _ in range(3):
        started = time.process_time()
        with contextlib.suppress(ValidationFailed):
            decode_json(body)
        spent.append(time.process_time() - started)
    return min(spent)
