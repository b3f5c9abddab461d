"""What may be announced, as patterns for the OpenAPI document; ``domain.documents`` is the rule.

The patterns use what ECMA-262, Python and Rust read alike; a ``$`` is the very end to all readers
but Python. ``tests/edge/test_openapi_agrees.py`` holds them against the running gateway.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from gateway.domain.documents import OTHER_NAMES, UNSPECIFIC_TYPES

# Control characters, line and paragraph separators, direction controls and marks.
_UNSAFE = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_BLANKS = r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_INSIDE = rf"[^{_UNSAFE}/\\]"
_AT_AN_END = rf"[^{_UNSAFE}{_BLANKS}/\\]"

# A key's name: printable, and not only blanks.
KEY_NAME = rf"^[^{_UNSAFE}]*[^{_UNSAFE} ][^{_UNSAFE}]*$"


def filename_pattern(types: Mapping[str, Collection[str]]) -> str:
    """A plain name, with one of the endings where no allowed type goes without them."""
    endings = sorted({ending for some in types.values() for ending in some})
    if all(types.values()):
        return rf"^{_AT_AN_END}{_INSIDE}*\.(?:{'|'.join(map(_any_case, endings))})$"
    return rf"^(?!\.\.?$){_AT_AN_END}(?:{_INSIDE}*{_AT_AN_END})?$"


def type_pattern(types: Mapping[str, Collection[str]]) -> str:
    """An allowed type by any of its names, in any case, with or without parameters.

    Where a name's ending can decide the type, it may be left out.
    """
    names = {*types, *(other for other, name in OTHER_NAMES.items() if name in types)}
    unspecific = UNSPECIFIC_TYPES if any(types.values()) else frozenset()
    named = "|".join(_any_case(name) for name in sorted(names | unspecific) if name)
    return rf"^[ \t]*(?:{named}){'?' if unspecific else ''}[ \t]*(?:;[^\u0000]*)?$"


def _any_case(text: str) -> str:
    """Without a flag for it: ECMA-262 has none inside of a pattern."""
    return "".join(f"[{c.upper()}{c}]" if c.isalpha() else re.escape(c) for c in text)
