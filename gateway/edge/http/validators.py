"""``ETag`` and 304: a client that has an answer already is told so, and not sent it again.

This runs on the way out: who asks is known by then, the policy has allowed it, and the answer is
made anew; what is saved is the way to the client. So a 304 says nothing that a 200 would not have.
"""

from __future__ import annotations

from sanic import Request
from sanic.response import BaseHTTPResponse

from gateway.domain.entity_tags import has_it, tag_of
from gateway.edge.http import compress

# For the client's own cache alone, and never used from there without asking: the next one who sits
# at that browser may be somebody else, and the document may be gone (RFC 9111, 5.2.2.4 and .7).
CACHE_CONTROL = "private, no-cache"


def apply(request: Request, response: BaseHTTPResponse, compress_min_bytes: int) -> None:
    """Marks a good answer, in place; one that the client has becomes a 304.

    The 304 has the fields that the 200 would have had (RFC 9110, 15.4.5), ``Vary`` among them.
    """
    if response.status != 200:
        return
    body = response.body or b""
    tag = tag_of(body)
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = CACHE_CONTROL
    if has_it(request.headers.getall("if-none-match", []), tag):
        compress.vary(response, len(body), compress_min_bytes)
        response.status, response.body = 304, b""
