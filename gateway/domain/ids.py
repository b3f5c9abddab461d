"""Identifiers: UUIDv7 (RFC 9562), lower case, checked before any use."""

from __future__ import annotations

import os
import random
import re

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
# The same for OpenAPI's readers, to whom ``$`` is the very end.
UUID7_PATTERN = f"^{UUID7.pattern.removesuffix(chr(92) + 'Z')}$"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


# Ids must differ and need not be hard to guess, so there is no system call for each: the generator
# is seeded by the system, and again in a forked process, which would else repeat its parent's ids.
_source = random.Random()
os.register_at_fork(after_in_child=_source.seed)


def new_uuid7(now: float, random_bytes: bytes | None = None) -> str:
    """A fresh UUIDv7 for ``now`` (Unix seconds): ids made later sort later, to the millisecond."""
    entropy = (
        _source.getrandbits(80) if random_bytes is None else int.from_bytes(random_bytes, "big")
    )
    value = (int(now * 1000) & 0xFFFFFFFFFFFF) << 80 | (entropy & ((1 << 80) - 1))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_uuid7(text: str) -> bool:
    """Whether ``text`` is the one accepted spelling of an id; any other is 404."""
    return UUID7.match(text) is not None


def is_request_id(text: str) -> bool:
    """Whether a client's ``X-Request-ID`` may be taken over: no byte that could split a header."""
    return REQUEST_ID.match(text) is not None
