"""The functions that a compiled policy may call and that are not in its Wasm: ours.

OPA's compiler puts nearly all of Rego's functions into the module. Of those left, ``sprintf`` and
``time.now_ns`` are here; others (``http.send``, ``io.jwt`` …) need an OPA server. Each function is
given the time of the question, in nanoseconds since 1970, and its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.adapters.go_format import sprintf
from gateway.adapters.rego_terms import Term


class Undefined(Exception):
    """What an error in a function is to Rego: no value."""


def _time_now_ns(now_ns: int) -> int:
    return now_ns


def _sprintf(_now_ns: int, pattern: Term, arguments: Term) -> str:
    if pattern.text is None or arguments.elements is None:
        raise Undefined
    return sprintf(pattern.text, [one.argument() for one in arguments.elements])


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "sprintf": _sprintf,
    "time.now_ns": _time_now_ns,
}
