"""The gateway's own cookies: what is set, and what is found in a request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.cookies import CookieNames, read_cookies, values_of

SECURE, PLAIN = CookieNames(secure=True), CookieNames(secure=False)


def test_over_https_a_cookie_is_for_this_host_alone() -> None:
    """The prefix holds only with ``Secure``, ``Path=/`` and no ``Domain``; else it is dropped."""
    assert SECURE.set(SECURE.session, "abc", 60) == (
        "__Host-kbg-session=abc; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
    )
    assert SECURE.drop(SECURE.session) == (
        "__Host-kbg-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
    )


def test_over_http_it_has_a_name_that_browsers_take() -> None:
    assert PLAIN.set(PLAIN.session, "abc", 60) == (
        "kbg-session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
    )


def test_a_plain_name_is_no_session_over_https() -> None:
    """A sibling name of the domain, or a plain connection, could have set it."""
    assert values_of(["kbg-session=abc"], SECURE.session) == []
    assert values_of(["x__Host-kbg-session=abc"], SECURE.session) == []


def test_sign_ins_are_told_apart_by_their_state() -> None:
    """A state that the provider made up names no cookie of another kind."""
    one = SECURE.sign_in("abcdefghijklmnop")
    assert one == "__Host-kbg-sign-in-abcdefghijkl"
    sent = {one: ["1"], SECURE.sign_in("0" * 43): ["2"], SECURE.session: ["3"], "other": ["4"]}
    assert SECURE.sign_ins(sent) == [one, "__Host-kbg-sign-in-000000000000"]
    for odd in ("", "short", "a;b=c; d=efgh", "ü" * 20, "abcdefghijk\n"):
        assert SECURE.sign_in(odd) == "__Host-kbg-sign-in-"


def test_every_value_of_a_name_is_found() -> None:
    """Two of one name are two: whoever asks may judge."""
    lines = ["a=1; b=2", "a = 3;a=4 ;; =5; c"]
    assert read_cookies(lines) == {"a": ["1", "4"], "b": ["2"], "a ": [" 3"], "": ["5"]}
    assert values_of(lines, "a") == ["1", "4"]
    assert values_of(["a=x=y=="], "a") == ["x=y=="]


@given(st.lists(st.text(max_size=30), max_size=4))
def test_whatever_is_sent_both_ways_of_reading_agree(lines: list[str]) -> None:
    found = read_cookies(lines)
    for name, values in found.items():
        assert values_of(lines, name) == values
