"""An answer's head is the same bytes as Sanic's, however much of it was written before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sanic.headers import format_http1_response
from sanic.response import HTTPResponse

from gateway.edge.wire.response import Response

NAMES = st.sampled_from(
    ["Cache-Control", "Content-Type", "X-Request-ID", "Location", "x-\r\nsplit", "Connection"]
)
VALUES = st.text(alphabet=st.characters(max_codepoint=0x2FF) | st.sampled_from("\r\n\0\udc80"))


@given(
    headers=st.dictionaries(NAMES, VALUES | st.integers()),
    status=st.sampled_from([200, 204, 304, 404]),
)
def test_head_is_what_sanic_would_send(headers: dict[str, str | int], status: int) -> None:
    """Whatever a header holds: nothing in it may end its line."""
    theirs = HTTPResponse(b"", status, dict(headers), "application/json")
    ours = Response(b"", status, dict(headers), "application/json")
    expected = format_http1_response(status, theirs.processed_headers)
    for _ in range(2):  # once encoded, once from what is kept
        assert format_http1_response(status, ours.processed_headers) == expected
