"""The numbers of lists, as they are shown."""

from __future__ import annotations

_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l")),
    *((40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_LARGEST_ROMAN = 3999


def numeral(number: int, form: str) -> str:
    """A number in one of HTML's forms: "1", "a", "A", "i" or "I"."""
    match form:
        case "a":
            return _letters(number)
        case "A":
            return _letters(number).upper()
        case "i":
            return _roman(number)
        case "I":
            return _roman(number).upper()
        case _:
            return str(number)


def _letters(number: int) -> str:
    """a … z, aa, ab …: numbers without a zero."""
    text = ""
    left = number
    while left > 0:
        left, letter = divmod(left - 1, 26)
        text = chr(ord("a") + letter) + text
    return text or str(number)


def _roman(number: int) -> str:
    if not 0 < number <= _LARGEST_ROMAN:
        return str(number)
    text = ""
    for value, letters in _ROMAN:
        text += letters * (number // value)
        number %= value
    return text
