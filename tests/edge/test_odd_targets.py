"""Request lines nobody should send, over a real socket: each gets an answer."""

from __future__ import annotations

import pytest

from .conftest import Gateway
from .raw import assert_error_shape, exchange

ODD = [
    "CONNECT host:443",
    "GET /\x01",
    "GET host:99999",
    "GET ?",
    "GET /a\x7f",
    "GET http://",
    "GET http://[::1",
    "GET /%",
    "GET \\",
]


@pytest.mark.parametrize("line", ODD)
async def test_a_target_that_is_no_url_is_answered(gateway: Gateway, line: str) -> None:
    """A refusal in the one shape, and the server goes on; never a connection closed in silence."""
    data = f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1")
    answer = await exchange(gateway.address, data)
    assert answer.status in {400, 404, 501}
    assert_error_shape(answer)
