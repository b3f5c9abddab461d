"""gzip is used exactly when the client's ``Accept-Encoding`` asks for it."""

from __future__ import annotations

import pytest

from gateway.edge.http.compress import accepts_gzip


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("", False),
        ("gzip;q=high", False),
        ("xgzip", False),
    ],
)
def test_the_weights_of_accept_encoding_decide(header: str, expected: bool) -> None:
    """RFC 9110, 12.5.3: a weight of 0 is a no, ``*`` stands for what is not named."""
    assert accepts_gzip(header) is expected
