"""The head of a call to the core is made afresh from an allow-list."""

from __future__ import annotations

import pytest

from gateway.domain.headers import CORE_REQUEST_HEADERS, core_headers, is_traceparent

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WHO = {"token": "secret", "subject": "ann", "tenant": "acme", "roles": {"reader", "editor"}}


def test_identity_travels_under_the_contracts_names() -> None:
    """Section 5 of the contract, word by word."""
    assert core_headers(**WHO, request_id="r-1", actor="root", traceparent=TRACE) == {  # type: ignore[arg-type]
        "Authorization": "Bearer secret",
        "X-KB-Subject": "ann",
        "X-KB-Tenant": "acme",
        "X-KB-Roles": "editor,reader",
        "X-KB-Actor": "root",
        "X-Request-ID": "r-1",
        "traceparent": TRACE,
    }


def test_every_header_made_is_on_the_allow_list() -> None:
    """What is not on it does not exist for the core."""
    made = core_headers(**WHO, request_id="r", actor="a", traceparent=TRACE)  # type: ignore[arg-type]
    assert {name.lower() for name in made} <= CORE_REQUEST_HEADERS


@pytest.mark.parametrize(
    "text",
    ["", TRACE.upper(), TRACE + "-x", TRACE + "\n", "ff" + TRACE[2:], TRACE.replace("4bf9", "4bg9"),
     "00-" + "0" * 32 + "-00f067aa0ba902b7-01", TRACE[:36] + "0" * 16 + "-01"],
)  # fmt: skip
def test_a_malformed_traceparent_is_dropped(text: str) -> None:
    """A client's trace header is checked before it is passed on."""
    assert not is_traceparent(text)
    assert "traceparent" not in core_headers(**WHO, request_id="r", traceparent=text)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["a\r\nX-KB-Tenant: b", "a\n", "a\0", "ä", " a", "a "])
def test_a_value_that_could_end_its_line_is_never_sent(bad: str) -> None:
    """A last line of defence: names and ids were checked long before."""
    with pytest.raises(ValueError, match="X-Request-ID"):
        core_headers(**WHO, request_id=bad)  # type: ignore[arg-type]


def test_no_roles_is_an_empty_header() -> None:
    """A principal may have no role left."""
    assert (
        core_headers(token="t", subject="a", tenant="b", roles=(), request_id="r")["X-KB-Roles"]
        == ""
    )
