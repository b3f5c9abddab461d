"""``sprintf`` as Go has it; what OPA's own says of many more is in the contract suite."""

from __future__ import annotations

import pytest

from gateway.adapters.go_format import Unsupported, quoted, sprintf
from gateway.adapters.rego_terms import read_term

SPELLED = {
    ("%s is %d", ("x", 5)): "x is 5",
    ("%v %v %v", ("x", 5, 1.5)): "x 5 1.5",
    ("100%%", ()): "100%",
    ("%5d|%-5d|%05d|%+d", (42, 42, 42, 42)): "   42|42   |00042|+42",
    ("%x %X %o %b %#x", (255, 255, 8, 5, 255)): "ff FF 10 101 0xff",
    ("%x|% x|%#X", ("hé", "hé", "a")): "68c3a9|68 c3 a9|0X61",
    ("%q %+q", ('a"\n', "é")): '"a\\"\\n" "\\u00e9"',
    ("%c %U", (233, 233)): "é U+00E9",
    ("%.2f|%8.3f|%e", (1.239, 1.5, 1500.0)): "1.24|   1.500|1.500000e+03",
    ("%v %v %v %g", (1e6, 0.00001, 100000.5, 1e21)): "1e+06 1e-05 100000.5 1e+21",
    ("%.2s|%5s|%-5s|", ("日本語", "é", "é")): "日本|    é|é    |",
    ("%d", ("hi",)): "%!d(string=hi)",
    ("%s", (7,)): "%!s(int64=7)",
    ("%d %d", (1,)): "1 %!d(MISSING)",
    ("none", ("x", 1.5)): "none%!(EXTRA string=x, float64=1.5)",
    ("%", ()): "%!(NOVERB)",
    ("%T %T", (1, "a")): "int64 string",
    ("%d", (2**70,)): str(2**70),
}


@pytest.mark.parametrize(("given", "expected"), SPELLED.items(), ids=lambda one: str(one)[:40])
def test_values_are_spelled_as_by_go(given: tuple[str, tuple[object, ...]], expected: str) -> None:
    """Verbs, flags, widths, and what Go says of a wrong one."""
    pattern, values = given
    assert sprintf(pattern, values) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", ["%[1]d", "%*d", "%2000000d", "%.2000000f"])
def test_what_is_not_known_is_not_guessed(pattern: str) -> None:
    """A text that looks right and differs from OPA's could allow what OPA denies."""
    with pytest.raises(Unsupported):
        sprintf(pattern, [1, 2])


TERMS = {
    '{"b":1,"a":[true,null]}': '{"a": [true, null], "b": 1}',
    "{3,1,2}": "{1, 2, 3}",
    "set()": "set()",
    "{}": "{}",
    '[1.50,"é\\n"]': '[1.50, "é\\n"]',
    "{[2]:{1},1:2}": "{1: 2, [2]: {1}}",
}


@pytest.mark.parametrize(("written", "expected"), TERMS.items())
def test_terms_are_written_as_opa_does(written: str, expected: str) -> None:
    """Sorted, with blanks, and numbers as they were."""
    assert str(read_term(written)) == expected


@pytest.mark.parametrize("text", ["", "[1", "{1:", '"a', "1 2", "nul,"])
def test_what_is_no_term_is_refused(text: str) -> None:
    """Half a term is none."""
    with pytest.raises(ValueError):  # noqa: PT011
        read_term(text)


def test_quoting_escapes_what_does_not_print() -> None:
    """As ``strconv.Quote``."""
    assert quoted("\x00\u200b😀\\") == '"\\x00\\u200b😀\\\\"'
