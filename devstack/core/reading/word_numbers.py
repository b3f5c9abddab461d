"""The numbers in front of a Word document's paragraphs, which the file leaves to be counted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree  # type: ignore[import-untyped]

from devstack.core.reading.numbers import numeral
from devstack.core.reading.word_xml import Styles, attribute, value

_FORMS = {"lowerLetter": "a", "upperLetter": "A", "lowerRoman": "i", "upperRoman": "I"}
_PLACE = re.compile(r"%([1-9])")
_LEVELS = 9


@dataclass(frozen=True, slots=True)
class _Level:
    form: str
    text: str
    start: int


class Numbering:
    """Counts through one document's paragraphs, in their order."""

    def __init__(self, numbering: etree._Element | None, styles: Styles) -> None:
        self._styles = styles
        self._levels: dict[str, dict[int, _Level]] = {}
        self._abstract: dict[str, str] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._restarts: dict[tuple[str, int], int] = {}
        if numbering is not None:
            self._take(numbering)

    def label(self, paragraph: etree._Element) -> str:
        """What stands in front of a paragraph ("2.", "b)", "1.3"); "" for bullets and for none."""
        found = self._styles.numbering(paragraph)
        abstract = self._abstract.get(found[0]) if found else None
        if found is None or abstract is None:
            return ""
        number, level = found
        shape = self._levels[abstract].get(level)
        if shape is None:
            return ""
        counts = self._count(number, abstract, level)
        return "" if shape.form in ("bullet", "none") else self._shown(shape, abstract, counts)

    def _count(self, number: str, abstract: str, level: int) -> dict[int, int]:
        counts = self._counts.setdefault(abstract, {})
        # A list that is told to start anew does so at its first paragraph of that level.
        restart = self._restarts.pop((number, level), None)
        before = counts.get(level)
        if restart is not None or before is None:
            counts[level] = self._start(abstract, level) if restart is None else restart
        else:
            counts[level] = before + 1
        for deeper in [other for other in counts if other > level]:
            del counts[deeper]
        return counts

    def _shown(self, shape: _Level, abstract: str, counts: dict[int, int]) -> str:
        def number(place: re.Match[str]) -> str:
            level = int(place[1]) - 1
            own = self._levels[abstract].get(level, shape)
            count = counts.get(level, self._start(abstract, level))
            if own.form == "decimalZero":
                return f"{count:02d}"
            return numeral(count, _FORMS.get(own.form, "1"))

        return _PLACE.sub(number, shape.text).strip()

    def _start(self, abstract: str, level: int) -> int:
        shape = self._levels[abstract].get(level)
        return 1 if shape is None else shape.start

    def _take(self, numbering: etree._Element) -> None:
        for abstract in numbering.iterfind("{*}abstractNum"):
            self._levels[attribute(abstract, "abstractNumId")] = _levels(abstract)
        for number in numbering.iterfind("{*}num"):
            known, own = value(number, "abstractNumId"), attribute(number, "numId")
            if known in self._levels:
                self._abstract[own] = known
                self._take_restarts(number, own)

    def _take_restarts(self, number: etree._Element, own: str) -> None:
        for override in number.iterfind("{*}lvlOverride"):
            start = value(override, "startOverride")
            if start.isdecimal():
                self._restarts[(own, _level(attribute(override, "ilvl")))] = int(start[:6])


def _levels(abstract: etree._Element) -> dict[int, _Level]:
    return {
        _level(attribute(shape, "ilvl")): _Level(
            value(shape, "numFmt") or "decimal",
            value(shape, "lvlText"),
            int((value(shape, "start") or "1")[:6]) if value(shape, "start").isdecimal() else 1,
        )
        for shape in abstract.iterfind("{*}lvl")
    }


def _level(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) == 1 else 0
