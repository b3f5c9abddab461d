"""Which requests a cookie may authenticate: those that a page of the gateway's own made."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.domain.own_pages import Values, comes_from, may_use_cookie, origin_of

HERE = "https://kb.example.com"
OWN = {"origin": [HERE], "sec-fetch-site": ["same-origin"], "x-csrf-protection": ["1"]}


def headers(**changes: list[str]) -> Values:
    found = {**OWN, **{name.replace("_", "-"): values for name, values in changes.items()}}

    def values(name: str) -> Sequence[str]:
        return found.get(name, [])

    return values


WRITES = ["POST", "DELETE", "PUT", "PATCH", "OPTIONS", "anything"]


@pytest.mark.parametrize("method", WRITES)
def test_a_page_of_its_own_may_write(method: str) -> None:
    """With the header; a browser that knows nothing of Sec-Fetch-Site may, too."""
    assert may_use_cookie(method, headers(), HERE)
    assert may_use_cookie(method, headers(sec_fetch_site=[]), HERE)


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": ["https://evil.example"]},
        {"origin": ["https://sibling.example.com"]},
        {"origin": ["http://kb.example.com"]},
        {"origin": ["https://kb.example.com:8443"]},
        {"origin": ["https://kb.example.com.evil.example"]},
        {"origin": ["null"]},
        {"origin": []},
        {"origin": [HERE, HERE]},
        {"origin": [HERE + "/"]},
        {"sec_fetch_site": ["same-site"]},
        {"sec_fetch_site": ["cross-site"]},
        {"sec_fetch_site": ["none"]},
        {"sec_fetch_site": ["same-origin", "cross-site"]},
        {"x_csrf_protection": []},
        {"x_csrf_protection": ["0"]},
        {"x_csrf_protection": ["1", "1"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", WRITES)
def test_nobody_else_may(method: str, changes: dict[str, list[str]]) -> None:
    """One sign that is missing, doubled or another's is enough."""
    assert not may_use_cookie(method, headers(**changes), HERE)


def test_reading_needs_no_sign() -> None:
    """A link from elsewhere to a document works; nothing is changed by it."""
    nothing = headers(origin=[], sec_fetch_site=["cross-site"], x_csrf_protection=[])
    assert may_use_cookie("GET", nothing, HERE)
    assert may_use_cookie("HEAD", nothing, HERE)
    assert not comes_from(nothing, HERE)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://kb.example.com", "https://kb.example.com"),
        ("https://KB.example.com:443/prefix", "https://kb.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://kb:80/", "http://kb"),
        ("https://[::1]:8443/x", "https://[::1]:8443"),
    ],
)
def test_an_origin_is_written_as_browsers_do(url: str, origin: str) -> None:
    assert origin_of(url) == origin
