"""``If-None-Match`` as RFC 9110 has it: lists, ``*``, weak and strong tags, and what is neither."""

from __future__ import annotations

import time

import pytest

from gateway.domain.entity_tags import has_it, tag_of

TAG = tag_of(b"{}")
OPAQUE = TAG.removeprefix("W/")


def test_a_tag_names_the_content_and_nothing_else() -> None:
    """The same bytes have the same tag in every worker; a single other byte has another."""
    assert tag_of(b"{}") == TAG
    assert tag_of(b"{ }") != TAG
    assert TAG.startswith('W/"')


@pytest.mark.parametrize(
    "lines",
    [
        [TAG],
        [OPAQUE],
        ["*"],
        [" * "],
        [f'"other", {TAG}'],
        [f'W/"a,b",{OPAQUE} , "c"'],
        ['"other"', TAG],
        [f",, {TAG},"],
        [f'"", {TAG}'],
        [f'"\x80\xff", {TAG}'],
    ],
)
def test_a_client_that_has_it_is_recognised(lines: list[str]) -> None:
    """Weak comparison: ``W/`` makes no difference; several lines are one list."""
    assert has_it(lines, TAG)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ['"other"'],
        [OPAQUE.strip('"')],
        [f"w/{OPAQUE}"],
        [f"{TAG} {TAG}"],
        [f"{TAG}, *"],
        [f"{TAG}, broken"],
        [f'"{OPAQUE}'],
        [f'"a, {TAG}'],
        ["**"],
    ],
)
def test_what_is_another_tag_or_no_list_gets_the_whole_answer(lines: list[str]) -> None:
    """A header that cannot be read names nothing; it is no error either."""
    assert not has_it(lines, TAG)


def test_a_long_list_takes_no_more_time_than_its_length() -> None:
    """A head has 16 KiB at most: the worst of that size is looked through in milliseconds."""
    began = time.process_time()
    for text in ('"' * 16_000, "," * 16_000, '"a",' * 4_000 + "x", " " * 16_000 + "x"):
        assert not has_it([text], TAG)
    assert time.process_time() - began < 1.0
