"""Idempotency keys: what is one, whose it is, and which requests are the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.repeats import MOST_CHARACTERS, PATTERN, NoKey, asked, read_key

UUID = "8e03978e-40d5-43e8-bc93-6894a57f9324"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (f'"{UUID}"', UUID),
        (UUID, UUID),
        (f' "{UUID}" ', UUID),
        ('"a b"', "a b"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("KG5LxwFBepaKHyUD", "KG5LxwFBepaKHyUD"),
        ("2026-01-01T00:00:00Z/7+x=", "2026-01-01T00:00:00Z/7+x="),
        ("k" * MOST_CHARACTERS, "k" * MOST_CHARACTERS),
    ],
)
def test_a_key_is_the_same_with_quotes_and_without(line: str, key: str) -> None:
    """The draft's String, and the same text as most clients send it."""
    assert read_key([line]) == key


def test_no_header_is_no_key() -> None:
    assert read_key([]) is None


@pytest.mark.parametrize(
    "lines",
    [
        [""],
        ['""'],
        ["a", "a"],
        ["a b"],
        ["a, b"],
        ['"a", "b"'],
        ['"a";x=1'],
        ["a;b"],
        ['"a'],
        ['a"'],
        [r'"\a"'],
        ['"ü"'],
        ["ü"],
        ["a\tb"],
        ["k" * (MOST_CHARACTERS + 1)],
        ['"' + "k" * (MOST_CHARACTERS + 1) + '"'],
    ],
)
def test_what_is_no_key_is_refused(lines: list[str]) -> None:
    """Two keys, none, parameters, characters beyond ASCII, too many: never guessed at."""
    with pytest.raises(NoKey):
        read_key(lines)


@given(st.text(st.characters(max_codepoint=0xFF), max_size=12))
def test_the_documents_pattern_says_what_is_taken(text: str) -> None:
    """Of every short text, OpenAPI's readers and the gateway think the same."""
    try:
        read_key([text])
    except NoKey:
        taken = False
    else:
        taken = True
    if text == text.strip(" "):
        assert taken == bool(re.search(PATTERN.replace("$", r"\Z"), text))


FIELDS = {
    "tenant": "acme",
    "subject": "ada",
    "method": "POST",
    "route": "documents",
    "key": "k",
    "target": "/documents?",
    "body": b"{}",
}
names = st.text("ab:1", min_size=1, max_size=3)


@given(st.tuples(names, names, names, names), st.tuples(names, names, names, names))
def test_no_two_callers_routes_or_keys_share_a_name(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    """Whatever stands in them: tenant, subject, route and key are told apart."""
    fields = ("tenant", "subject", "route", "key")
    made = [asked(**{**FIELDS, **dict(zip(fields, each, strict=True))}) for each in (one, other)]
    assert (made[0].name == made[1].name) == (one == other)


@pytest.mark.parametrize("field", ["target", "body"])
def test_another_target_or_body_is_another_request_of_the_same_key(field: str) -> None:
    other = b"{} " if field == "body" else "/documents?x=1"
    one, two = asked(**FIELDS), asked(**{**FIELDS, field: other})
    assert one.name == two.name
    assert one.fingerprint != two.fingerprint
