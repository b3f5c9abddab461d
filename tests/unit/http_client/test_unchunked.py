"""Bodies without chunks: which reads a parser has to see."""

from __future__ import annotations

import pytest

from gateway.http_client.unchunked import Unchunked


def taken(body: Unchunked, *sizes: int) -> str:
    """For each read of such a size whether it was taken as it is, or parsed."""
    seen: list[str] = []
    take = body.taker(lambda _: seen.append("taken"), lambda _: seen.append("parsed"))
    for size in sizes:
        take(bytes(size))
    return " ".join(seen)


@pytest.mark.parametrize(
    ("length", "sizes", "expected"),
    [
        (b"10", (4, 5), "taken taken"),
        (b"10", (4, 6), "taken parsed"),
        (b"10", (4, 7), "taken parsed"),
        (b"10", (10,), "parsed"),
        (None, (4, 1_000_000), "taken taken"),
    ],
    ids=["before its end", "its end", "beyond its end", "whole", "no length"],
)
def test_only_a_read_that_the_body_ends_in_is_parsed(
    length: bytes | None, sizes: tuple[int, ...], expected: str
) -> None:
    """It alone can have something behind the body, and says that the body is whole."""
    assert taken(Unchunked(length), *sizes) == expected


def test_a_parser_that_begins_later_is_told_what_is_left() -> None:
    """Its head is that of an answer whose body is the rest."""
    body = Unchunked(b"10")
    taken(body, 3, 4)
    assert body.head.endswith(b"Content-Length: 3\r\n\r\n")
