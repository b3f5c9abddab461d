"""Go's ``fmt.Sprintf`` for what Rego's ``sprintf`` passes it: integers, floats and strings.

Source: https://pkg.go.dev/fmt. What a policy can hardly mean is not known here: arguments by number
(``%[1]d``), widths from arguments (``%*d``), floats with ``#`` or in hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isinf
from typing import Final

Value = int | float | str

# A Go program pads to no more than this; a wider one is an error there.
_WIDTH_LIMIT: Final = 1_000_000
_VERB = re.compile(r"%([-+# 0]*)(\d+)?(\.\d*)?(.)?", re.DOTALL)
_INTEGER_BASES: Final = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_MARKS: Final = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}
_SHORT_ESCAPES: Final = {7: "\\a", 8: "\\b", 12: "\\f", 10: "\\n", 13: "\\r", 9: "\\t", 11: "\\v"}
_GO_SPELLING: Final = "v"
_BIG: Final = "*big.Int"
_LAST_RUNE: Final = 0x10FFFF
# Floats of more digits before the point are written with an exponent.
_PLAIN_DIGITS: Final = 6


class Unsupported(Exception):
    """A pattern that is spelled in a way this module does not know."""


@dataclass(frozen=True, slots=True)
class _Spec:
    """``%-08.3f``, taken apart."""

    flags: str
    width: int
    precision: int | None
    verb: str

    def has(self, flag: str) -> bool:
        return flag in self.flags


def sprintf(pattern: str, values: Sequence[Value]) -> str:
    """Raises ``Unsupported``."""
    pieces, at, used = [], 0, 0
    while (percent := pattern.find("%", at)) >= 0:
        pieces.append(pattern[at:percent])
        found = _VERB.match(pattern, percent)
        assert found is not None
        at = found.end()
        spec = _spec(found)
        if spec.verb in ("%", ""):
            pieces.append("%" if spec.verb else "%!(NOVERB)")
        elif used == len(values):
            pieces.append(f"%!{spec.verb}(MISSING)")
        else:
            pieces.append(_formatted(spec, values[used]))
            used += 1
    return "".join([*pieces, pattern[at:], _extra(values[used:])])


def _spec(found: re.Match[str]) -> _Spec:
    flags, width, precision, verb = found.groups()
    digits = None if precision is None else int(precision[1:] or 0)
    if verb in ("[", "*") or max(int(width or 0), digits or 0) > _WIDTH_LIMIT:
        raise Unsupported(f"sprintf with {found[0]} is only known to an OPA server")
    if verb in ("v", "w"):
        # There, + and # are not about signs and prefixes: # is Go's own spelling.
        flags = flags.replace("+", "").replace("#", _GO_SPELLING)
    return _Spec(flags, int(width or 0), digits, verb or "")


def _extra(values: Sequence[Value]) -> str:
    plain = _Spec("", 0, None, "v")
    named = ", ".join(f"{_type(value)}={_formatted(plain, value)}" for value in values)
    return f"%!(EXTRA {named})" if named else ""


def _type(value: Value) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, float):
        return "float64"
    return "int64" if -(2**63) <= value < 2**63 else _BIG


def _formatted(spec: _Spec, value: Value) -> str:
    if spec.verb == "T":
        text = _string(replace(spec, verb="s"), _type(value))
    elif isinstance(value, str):
        text = _string(spec, value)
    elif isinstance(value, float):
        text = _float(spec, value)
    else:
        text = _integer(spec, value)
    if text is None:
        if _type(value) == _BIG:
            return f"%!{spec.verb}(big.Int={value})"
        return f"%!{spec.verb}({_type(value)}={_formatted(replace(spec, verb='v'), value)})"
    return text


def _padded(spec: _Spec, text: str) -> str:
    if spec.has("-"):
        return text.ljust(spec.width)
    return text.rjust(spec.width, "0" if spec.has("0") else " ")


def _blank_padded(spec: _Spec, text: str) -> str:
    return _padded(replace(spec, flags=spec.flags.replace("0", "")), text)


def _zero_padded(spec: _Spec, text: str) -> str:
    """Zeros go between a sign and the digits."""
    if not spec.has("0") or spec.has("-"):
        return _blank_padded(spec, text)
    sign = text[:1] if text[:1] in ("+", "-", " ") else ""
    return sign + text[len(sign) :].rjust(spec.width - len(sign), "0")


# --- strings -------------------------------------------------------------------------------------


def _string(spec: _Spec, text: str) -> str | None:
    if spec.verb in ("s", "v"):
        cut = text if spec.precision is None else text[: spec.precision]
        return _padded(spec, _quoted(spec, cut) if spec.has(_GO_SPELLING) else cut)
    if spec.verb == "q":
        cut = text if spec.precision is None else text[: spec.precision]
        return _padded(spec, _quoted(spec, cut))
    if spec.verb in ("x", "X"):
        return _padded(spec, _hexadecimal(spec, text.encode()))
    return None


def _hexadecimal(spec: _Spec, content: bytes) -> str:
    cut = content if spec.precision is None else content[: spec.precision]
    mark = "0x" if spec.has("#") and cut else ""
    digits = cut.hex(" ").replace(" ", f" {mark}") if spec.has(" ") else cut.hex()
    return (mark + digits).upper() if spec.verb == "X" else mark + digits


def quoted(text: str) -> str:
    """As ``strconv.Quote``."""
    return _quoted(_Spec("", 0, None, "q"), text)


def _quoted(spec: _Spec, text: str) -> str:
    if spec.has("#") and "`" not in text and all(_stands_raw(sign) for sign in text):
        return f"`{text}`"
    return f'"{"".join(_escaped(sign, spec.has("+"), chr(34)) for sign in text)}"'


def _stands_raw(sign: str) -> bool:
    return sign == "\t" or (sign >= " " and sign not in "\x7f\ufeff")


def _escaped(sign: str, ascii_only: bool, quote: str) -> str:
    number = ord(sign)
    if sign in (quote, "\\"):
        return "\\" + sign
    if number in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[number]
    if sign.isprintable() and (number < 0x80 or not ascii_only):
        return sign
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


# --- integers ------------------------------------------------------------------------------------


def _integer(spec: _Spec, value: int) -> str | None:
    big = _type(value) == _BIG
    if big and spec.verb in ("O", "p", "w"):
        raise Unsupported(f"sprintf of a large integer with %{spec.verb} is not known here")
    base = _INTEGER_BASES.get("d" if big and spec.verb == "s" else spec.verb)
    if base is not None:
        return _zero_padded_integer(spec, value, base)
    if big:
        return None
    if spec.verb == "c":
        return _padded(spec, _rune(value))
    if spec.verb == "q":
        return _padded(spec, f"'{_escaped(_rune(value), spec.has('+'), chr(39))}'")
    return _unicode(spec, value) if spec.verb == "U" else None


def _unicode(spec: _Spec, value: int) -> str:
    digits = f"{value % 2**64:X}".rjust(max(4, spec.precision or 0), "0")
    rune = chr(value) if spec.has("#") and 0 <= value <= _LAST_RUNE else ""
    return _blank_padded(
        spec, f"U+{digits}" + (f" '{rune}'" if rune.isprintable() and rune else "")
    )


def _rune(value: int) -> str:
    known = 0 <= value <= _LAST_RUNE and not 0xD800 <= value <= 0xDFFF
    return chr(value) if known else "\ufffd"


def _zero_padded_integer(spec: _Spec, value: int, base: str) -> str:
    if spec.precision == 0 == value:
        return " " * spec.width
    digits = format(abs(value), base).rjust(spec.precision or 0, "0")
    if spec.verb == "O" and spec.has("#") and digits[0] != "0":
        digits = f"0{digits}"
    sign = "-" if value < 0 else "+" if spec.has("+") else " " if spec.has(" ") else ""
    mark = "0o" if spec.verb == "O" else _MARKS.get(base, "") if spec.has("#") else ""
    if spec.has("0") and not spec.has("-") and spec.precision is None:
        digits = digits.rjust(spec.width - len(sign), "0")
    if mark == "0" and digits.startswith("0"):
        mark = ""
    return _blank_padded(spec, sign + mark + digits)


# --- floats --------------------------------------------------------------------------------------


def _float(spec: _Spec, value: float) -> str | None:
    if spec.verb not in "veEfFgG":
        if spec.verb in "bxX":
            raise Unsupported(
                f"sprintf of a float with %{spec.verb} is only known to an OPA server"
            )
        return None
    text = _float_digits(spec, value)
    if not text.startswith("-"):
        text = ("+" if spec.has("+") else " " if spec.has(" ") else "") + text
    return _blank_padded(spec, text) if isinf(value) else _zero_padded(spec, text)


def _float_digits(spec: _Spec, value: float) -> str:
    if isinf(value):
        return "-Inf" if value < 0 else "+Inf"
    if spec.has("#"):
        raise Unsupported("sprintf of a float with # is only known to an OPA server")
    verb = {"v": "g", "F": "f"}.get(spec.verb, spec.verb)
    if verb in "efEF" or spec.precision is not None:
        precision = 6 if spec.precision is None else spec.precision
        return format(value, f".{precision}{verb}")
    shortest = _shortest(value)
    return shortest.upper() if verb == "G" else shortest


def _shortest(value: float) -> str:
    """The fewest digits that read back as the same number; from a million on with an exponent."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    magnitude = len(digits) - 1 + exponent
    if value == 0 or -4 <= magnitude < _PLAIN_DIGITS:
        return format(Decimal(repr(value)).normalize(), "f")
    spelled = "".join(map(str, digits))
    fraction = f".{spelled[1:]}" if len(spelled) > 1 else ""
    return f"{'-' if sign else ''}{spelled[0]}{fraction}e{magnitude:+03d}"
