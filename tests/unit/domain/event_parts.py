"""Pieces of event streams, from which properties of the short way are tried.

``BODIES`` are streams of blocks of every legal shape, and of many that nearly are: names that end
an answer in every spelling, hidden by another name or hiding one; lines that end in LF, CR LF and
CR, in one way or mixed; comments, marks of order, values that look like lines.
"""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

PARTS = st.sampled_from(
    [
        b"event: token\n",
        b"event: done\n",
        b"event: error\n",
        b"event: donex\n",
        b"event:token\n",
        b"event: \n",
        b'data: {"text":"a"}\n',
        b"data: done\n",
        b"data:\n",
        b"data: \r\n",
        b"data: x\ry\n",
        b"id: 7\n",
        b": ping\n",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"\r",
        b"junk",
        b"\xef\xbb\xbf",
        b"event: token\ndata: {}\n\n",
        b"event: usage\ndata: {}\n\nevent: token\ndata: 1\n\n",
        b"event: done\ndata: {}\n\n",
    ]
)

_NAMES = st.sampled_from(
    [b"event", b"event", b"data", b"data", b"data", b"id", b"retry", b"", b"foo", b"Event", b"even",
     b"datum", b"event ", b" event", b"dat", b"\xef\xbb\xbfevent", b"\xef\xbb\xbfdata", b"\xff"]
)  # fmt: skip
_COLONS = st.sampled_from([b": ", b": ", b":", b":  ", b"", b":\t", b" :"])
_VALUES = st.sampled_from(
    [b"token", b"{}", b"", b"done", b"error", b"done ", b" done", b"donex", b"Error", b"a: b", b"7",
     b"event: done", b"data: x", b"\0", b"done\0", b"\xe2\x82\xac", b"\xff", b'{"a":"done"}', b":"]
)  # fmt: skip
_ENDS = (b"\n", b"\r\n", b"\r")
_LINES = st.builds(lambda *parts: b"".join(parts), _NAMES, _COLONS, _VALUES)
# Most streams end their lines in one way, some in another way in each line.
_STYLES = st.one_of(
    st.sampled_from(_ENDS).map(st.just), st.just(st.sampled_from(_ENDS)), st.just(st.just(b"\n"))
)
_USUAL = st.sampled_from(
    [(b"event: token", b"data: {}"), (b"data: x",), (b"id: 1", b"event: token", b"data: {}"),
     (b"event:token", b"data:a", b"data:b"), (b"data: x", b"event: token"), (b": ping",),
     (b": c", b"event: token", b"data: {}"), (b"retry: 5", b"data: x"), (b"event: token",)]
)  # fmt: skip
_ENDINGS = st.sampled_from(
    [(b"event: done", b"data: {}"), (b"data: {}", b"event:done"), (b"event:error", b"data"),
     (b"event: done", b"event: token", b"data: x"), (b"event: token", b"event: done", b"data: x"),
     (b"event: done",), (b"id: 1", b"event: error", b"data: {}", b"foo: bar")]
)  # fmt: skip
_BLOCKS = st.one_of(
    _USUAL, _USUAL, _USUAL, _ENDINGS, st.lists(_LINES, max_size=4).map(tuple), st.just(())
)


@st.composite
def bodies(draw: st.DrawFn, max_blocks: int = 8) -> bytes:
    """A stream of blocks, which may begin with a mark of order and break off anywhere."""
    ends = draw(_STYLES)
    body = draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]))
    for lines in draw(st.lists(_BLOCKS, max_size=max_blocks)):
        body += b"".join(line + draw(ends) for line in lines) + draw(ends)
    return body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body


@st.composite
def cut(draw: st.DrawFn, data: bytes, max_pieces: int = 8) -> list[bytes]:
    """``data`` in pieces, cut anywhere, none of them empty."""
    places = draw(st.lists(st.integers(0, len(data)), max_size=max_pieces, unique=True).map(sorted))
    bounds = zip([0, *places], [*places, len(data)], strict=True)
    return [data[start:end] for start, end in bounds if start < end]


BODIES = bodies()

_MIXED = (
    b"data: xAevent: doneBdata: yCC",
    b"id: 1Aevent:errorBdata: yCC",
    b"event: tokenAdata: xBevent:doneCC",
    b"data: xABevent: doneCdata: yCC",
    b"event: tokenAdata: xBB: cCC",
)
# Ends and events whose lines end in two or three ways, or in one: each is a line end as good as
# the others, and hides nothing.
MIXED_ENDS = [
    text.replace(b"A", a).replace(b"B", b).replace(b"C", c)
    for a, b, c in itertools.product(_ENDS, repeat=3)
    for text in _MIXED
]
