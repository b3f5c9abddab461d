"""What a core says in JSON, read by everybody alike: all that it cannot be is one error."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from gateway.errors import CoreProtocolError

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], data: str | bytes) -> T:
    """What ``decoder`` makes of it.

    Raises:
        CoreProtocolError: not JSON, not UTF-8, not in that shape, or nested deeper than can be
            read: the last is no fault of ours, though Python's name for it sounds so.
    """
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise CoreProtocolError from exc
