"""The one writer of JSON answers: handlers', errors', refusals at the wire, the admin listener's.

Log lines, error events of a stream and calls to the core are written by msgspec, which is 1 µs
quicker on an object of that size: they are the hot path, or stand where no web framework's package
is known (``domain``). An answer costs some hundred times that, and ujson is one of the packages
this gateway is built on.
"""

from __future__ import annotations

from typing import Any

import ujson


def dump_json(value: Any) -> bytes:
    """``value`` in UTF-8. What is in it was read strictly on the way in: no NaN, no surrogate."""
    text: str = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    return text.encode("utf-8")
