"""Requests as bytes, good and bad, each with what becomes of it: one table for rules and sockets.

Every bad one is a way in which two readers of the same bytes could come to different requests, or
a size nobody sane sends.
"""

from __future__ import annotations

from dataclasses import dataclass

MALFORMED = (400, "MALFORMED_REQUEST")
URI_TOO_LONG = (414, "URI_TOO_LONG")
EXPECTATION = (417, "EXPECTATION_FAILED")
HEADERS_TOO_LARGE = (431, "HEADERS_TOO_LARGE")
NOT_IMPLEMENTED = (501, "NOT_IMPLEMENTED")
TOO_LARGE = (413, "PAYLOAD_TOO_LARGE")


@dataclass(frozen=True)
class Case:
    """``status`` and ``code`` are the wire's answer; a good request has whatever its route says.

    Attributes:
        data: one request, or what poses as one.
        body: the body a good request carries.
    """

    name: str
    data: bytes
    status: int = 0
    code: str = ""
    body: bytes = b""


def get(
    *lines: bytes, target: bytes = b"/healthz", version: bytes = b"HTTP/1.1", host: bool = True
) -> bytes:
    head = [b"GET %b %b" % (target, version), *([b"Host: gateway.test"] if host else []), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n"


def post(*lines: bytes, body: bytes = b"{}", version: bytes = b"HTTP/1.1") -> bytes:
    head = [
        b"POST /auth/login " + version,
        b"Host: gateway.test",
        b"Content-Type: application/json",
        *lines,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


def bad(name: str, data: bytes, status_and_code: tuple[int, str] = MALFORMED) -> Case:
    return Case(name, data, *status_and_code)


REQUEST_LINES = [
    bad("no request line", b"\r\n\r\n"),
    bad("two empty lines before a request", b"\r\n\r\n" + get()),
    bad("words", b"hello there\r\n\r\n"),
    bad("HTTP/0.9", b"GET /healthz\r\n\r\n"),
    bad("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    bad("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    bad("a proxy's preface", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get()),
    *(
        bad(f"version {version.decode('latin-1')}", get(version=version))
        for version in (
            b"HTTP/1.2 HTTP/2.0 HTTP/2 HTTP/0.9 HTTP/3.0 HTTP/1.10 HTTP/1. HTTP/01.1 http/1.1"
            b" HTTP/1,1 HTTPS/1.1 HTTP/1.1x ICY/1.1 HTTP/-1.1 HTTP/1.\xd9\xa1"
        ).split()
    ),
    bad("two blanks", b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    bad("two blanks before the version", b"GET /healthz  HTTP/1.1\r\nHost: x\r\n\r\n"),
    bad("a tab", b"GET\t/healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    bad("a blank at the front", b" GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    bad("a blank at the end", b"GET /healthz HTTP/1.1 \r\nHost: x\r\n\r\n"),
    bad("no method", b" /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    bad("a method that is no token", b"G(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    bad("a method of other letters", "GÉT /healthz HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
    bad("a blank in the target", get(target=b"/a b")),
    bad("a NUL in the target", get(target=b"/a\0b")),
    bad("a DEL in the target", get(target=b"/a\x7f")),
    bad("a fragment", get(target=b"/healthz#x")),
    bad("raw UTF-8 in the target", get(target="/é".encode())),
    bad("a raw byte in the target", get(target=b"/\xff")),
    bad("an asterisk for GET", get(target=b"*")),
    bad("a target in authority form", get(target=b"gateway.test:80")),
    bad("a target without a slash", get(target=b"healthz")),
    bad("an empty query alone", get(target=b"?")),
    bad("a backslash", get(target=b"\\healthz")),
    bad("another scheme", get(target=b"ftp://gateway.test/healthz")),
    bad("another authority", get(target=b"http://other.test/healthz")),
    bad("another port", get(target=b"http://gateway.test:81/healthz")),
    bad("a user in the authority", get(target=b"http://a@gateway.test/healthz")),
    bad("an absolute target without authority", get(target=b"http:///healthz")),
    bad("an absolute target with a fragment", get(target=b"http://gateway.test/healthz#x")),
    bad("a target of 8 KiB and one", get(target=b"/" + b"a" * 8192), URI_TOO_LONG),
    bad("a target without end", b"GET /" + b"a" * 17_000, URI_TOO_LONG),
    bad("CONNECT", b"CONNECT gateway.test:443 HTTP/1.1\r\nHost: x\r\n\r\n", NOT_IMPLEMENTED),
]

HEADERS = [
    bad("a blank before the colon", get(b"Content-Length : 0")),
    bad("a tab before the colon", get(b"X\t: y")),
    bad("a blank in a name", get(b"X Y: z")),
    bad("a NUL in a name", get(b"X\0: y")),
    bad("an empty name", get(b": y")),
    bad("a line without a colon", get(b"X-Foo")),
    bad("a bracket in a name", get(b"X(Y): z")),
    bad("other letters in a name", get("É: z".encode())),
    bad("a name in quotes", get(b'"X": z')),
    bad("a bare LF in a value", get(b"X: a\nY: b")),
    bad("a bare CR in a value", get(b"X: a\rY: b")),
    bad("a bare CR at a line's end", get(b"X: a\r")),
    bad("lines that end in LF", b"GET /healthz HTTP/1.1\nHost: x\n\n"),
    bad("one line that ends in LF", b"GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"),
    bad("a head that ends in LF", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\n"),
    bad("a request line that ends in LF", b"GET /healthz HTTP/1.1\nHost: x\r\n\r\n"),
    bad("a folded line", get(b"X: a\r\n b")),
    bad("a line folded by a tab", get(b"X: a\r\n\tb")),
    bad("a blank before the first header", b"GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n"),
    *(
        bad(f"byte {byte:#04x} in a value", get(b"X: a%bb" % bytes([byte])))
        for byte in (0, 1, 7, 8, 11, 12, 27, 31, 127)
    ),
    bad("no Host", get(host=False)),
    bad("two Hosts", get(b"Host: other.test")),
    bad("twice the same Host", get(b"Host: gateway.test")),
    bad("two Hosts in HTTP/1.0", get(b"Host: other.test", version=b"HTTP/1.0")),
    *(
        bad(f"the Host {host.decode('latin-1')}", get(b"Host: " + host, host=False))
        for host in (
            b"a b",
            b"a/b",
            b"a,b/",
            b"a@b",
            b"a?b",
            b"a#b",
            b"a:b",
            b"a:80:80",
            b"[::1",
            b"[x]",
            b"a%zz",
            b'"a"',
            "é".encode(),
            b"http://a",
        )
    ),
    bad("one header of 8 KiB and one", get(b"X: " + b"a" * 8190), HEADERS_TOO_LARGE),
    bad("16 KiB of headers", get(*[b"X: " + b"a" * 1021] * 17), HEADERS_TOO_LARGE),
    bad("headers without end", get()[:-2] + b"X: aaaaaaaaaaaa\r\n" * 1100, HEADERS_TOO_LARGE),
    bad("101 headers", get(*[b"X: a"] * 100), HEADERS_TOO_LARGE),
    bad("another expectation", get(b"Expect: a-miracle"), EXPECTATION),
    bad("an expectation too many", post(b"Expect: 100-continue, x"), EXPECTATION),
    bad("an empty expectation", get(b"Expect:"), EXPECTATION),
]

LENGTHS = [
    *(
        bad(f"the length {length.decode('latin-1')}", post(b"Content-Length:" + length))
        for length in (
            b"+2",
            b"-2",
            b"-0",
            b"2, 2",
            b"2,2",
            b"0x2",
            b"2.0",
            b"2e0",
            b"2_0",
            b"2 2",
            b"",
            b" ",
            b"two",
            b"\xd9\xa2",
            b"2;",
            b"\xc2\xa02",
        )
    ),
    bad("two lengths", post(b"Content-Length: 2", b"Content-Length: 3")),
    bad("twice the same length", post(b"Content-Length: 2", b"content-length: 2")),
    bad("a length and chunks", chunked(b"0\r\n\r\n", b"Content-Length: 5")),
    *(
        bad(
            f"the coding {coding.decode('latin-1')}",
            post(b"Transfer-Encoding:" + coding, body=b"2\r\n{}\r\n0\r\n\r\n"),
        )
        for coding in (
            b"gzip",
            b"identity",
            b"chunked, chunked",
            b"chunked, gzip, chunked",
            b"gzip,, chunked",
            b"g zip, chunked",
            b'"gzip", chunked',
            b"chunked, identity",
            b"chunked,",
            b",chunked",
            b"xchunked",
            b"chunked;q=1",
            b'"chunked"',
            b"",
            b"\x0bchunked",
            b"\xc2\xa0chunked",
            # The Kelvin sign, a "k" in lower case to whoever asks Unicode.
            b" chun\xe2\x84\xaaed",
        )
    ),
    *(
        bad(f"the codings {codings}", post(*lines, body=b"2\r\n{}\r\n0\r\n\r\n"), NOT_IMPLEMENTED)
        for codings, lines in {
            "gzip, chunked": [b"Transfer-Encoding: gzip, chunked"],
            "gzip and chunked": [b"Transfer-Encoding: gzip", b"Transfer-Encoding: Chunked"],
            "identity, chunked": [b"Transfer-Encoding: identity ,\tchunked"],
            "x, y, chunked": [b"Transfer-Encoding: x,y,chunked"],
        }.items()
    ),
    bad("two codings", chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked")),
    bad(
        "chunks in HTTP/1.0",
        post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"HTTP/1.0"),
    ),
]

CHUNKS = [
    *(
        bad(f"the chunk size {size!r}", chunked(size + b"\r\n{}\r\n0\r\n\r\n"))
        for size in (
            b"0x2",
            b" 2",
            b"\t2",
            b"+2",
            b"-2",
            b"2 ",
            b"\xd9\xa2",
            b"2_0",
            b"",
            b"zz",
            b"2h",
            b"2.",
            b"2\0",
            b"2;",
            b"2 ;a",
            b"2;a=",
            b"2;=a",
            b"2;a b",
            b'2;a="b',
            b"2;a\n",
            b"2;a\rb",
            b"2\n",
            b"2;" + b"a" * 256,
            b"0" * 256 + b"2",
        )
    ),
    bad("an LF behind the size", chunked(b"2\n{}\r\n0\r\n\r\n")),
    bad("a CR behind the size", chunked(b"2\r{}\r\n0\r\n\r\n")),
    bad("more data than the size", chunked(b"2\r\n{}x\r\n0\r\n\r\n")),
    bad("less data than the size", chunked(b"5\r\n{}\r\n0\r\n\r\n")),
    bad("an LF behind the data", chunked(b"2\r\n{}\n0\r\n\r\n")),
    bad("no line end behind the data", chunked(b"2\r\n{}0\r\n\r\n")),
    *(
        bad(f"the trailer {line!r}"[:60], chunked(b"2\r\n{}\r\n0\r\n" + line + b"\r\n\r\n"))
        for line in (
            b"X",
            b"X : y",
            b" X: y",
            b": y",
            b"X: y\0",
            b"X: y\rZ: y",
            b"X: y\nZ: y",
            b"X: y\r\n folded",
            b"X: " + b"y" * 8186,
            b"\r\n".join([b"X: " + b"y" * 95] * 82),
        )
    ),
    bad("a request for a trailer", chunked(b"2\r\n{}\r\n0\r\n" + get())),
    bad("an LF behind the last chunk", chunked(b"2\r\n{}\r\n0\r\n\n")),
    bad("a negative last chunk", chunked(b"2\r\n{}\r\n-0\r\n\r\n")),
    bad("a last chunk 0x0", chunked(b"2\r\n{}\r\n0x0\r\n\r\n")),
    bad("many extensions", chunked((b"1;" + b"a" * 200 + b"\r\n \r\n") * 30 + b"0\r\n\r\n")),
    bad("a chunk of 2 GiB", chunked(b"7fffffff\r\n{}"), TOO_LARGE),
    bad("a chunk size of 100 digits", chunked(b"f" * 100 + b"\r\n{}"), TOO_LARGE),
]

BAD = [*REQUEST_LINES, *HEADERS, *LENGTHS, *CHUNKS]

GOOD = [
    Case("a plain GET", get()),
    Case("one empty line before it", b"\r\n" + get()),
    Case("a query", get(target=b"/healthz?a=b&c[]=%20|")),
    Case("absolute for this host", get(target=b"http://gateway.test/healthz")),
    Case("absolute in capitals", get(target=b"HTTP://Gateway.TEST/healthz")),
    Case("absolute without a path", get(target=b"http://gateway.test")),
    Case("absolute with a query alone", get(target=b"http://gateway.test?a=b")),
    Case("an asterisk", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
    Case("an empty Host", get(b"Host:", host=False)),
    Case("an IPv6 host", get(b"Host: [::1]:8080", host=False)),
    Case("a host with an empty port", get(b"Host: x:", host=False)),
    Case("a value without a blank", get(b"X:y")),
    Case("an empty value", get(b"X:")),
    Case("blanks round a value", get(b"X: \t y \t ")),
    Case("UTF-8 in a value", get("X: é".encode())),
    Case("bytes in a value", get(b"X: \xff\x80")),
    Case("odd but rightful names", get(b"!#$%&'*+-.^_`|~0: y")),
    Case("a target of 8 KiB", get(target=b"/" + b"a" * 8191)),
    Case("a header of 8 KiB", get(b"X: " + b"a" * 8189)),
    Case("100 headers", get(*[b"X: a"] * 99)),
    Case("a length", post(b"Content-Length: 2"), body=b"{}"),
    Case("a length with noughts", post(b"Content-Length: 0002"), body=b"{}"),
    Case("a length with blanks", post(b"Content-Length: \t2 "), body=b"{}"),
    Case("a length of nought", post(b"Content-Length: 0", body=b"")),
    Case("a POST without a length", post(body=b"")),
    Case("no chunk", chunked(b"0\r\n\r\n")),
    Case("one chunk", chunked(b"2\r\n{}\r\n0\r\n\r\n"), body=b"{}"),
    Case("two chunks", chunked(b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), body=b"{}"),
    Case("sizes with noughts", chunked(b"0002\r\n{}\r\n000\r\n\r\n"), body=b"{}"),
    Case("sizes in both cases", chunked(b"a\r\n{       }\x20\r\n0\r\n\r\n"), body=b"{       } "),
    Case("a capital size", chunked(b"A\r\n{        }\r\n0\r\n\r\n"), body=b"{        }"),
    Case("extensions", chunked(b'2;a;b=c;d="e\\"; f"\r\n{}\r\n0;x\r\n\r\n'), body=b"{}"),
    Case("a trailer", chunked(b"2\r\n{}\r\n0\r\nX: y\r\n\r\n"), body=b"{}"),
    Case(
        "trailers named as what frames a request",
        chunked(b"2\r\n{}\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding:x\r\nHost:\r\n\r\n"),
        body=b"{}",
    ),
    Case(
        "trailers of 8 KiB",
        chunked(b"2\r\n{}\r\n0\r\nX: " + b"y" * 8185 + b"\r\n\r\n"),
        body=b"{}",
    ),
    Case("a wish for codings", get(b"TE: gzip, chunked")),
    Case("OPTIONS, absolute without a path", b"OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n"),
    Case("CHUNKED", post(b"Transfer-Encoding: CHUNKED", body=b"2\r\n{}\r\n0\r\n\r\n"), body=b"{}"),
    Case("an unwanted websocket", get(b"Upgrade: websocket", b"Connection: keep-alive, upgrade")),
    Case("an unwanted h2c", get(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")),
]
