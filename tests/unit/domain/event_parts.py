"""Pieces of event streams, from which properties of the short way are tried."""

from __future__ import annotations

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
