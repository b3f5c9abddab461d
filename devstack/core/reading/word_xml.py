"""A Word document's XML: elements by their local names, and what its styles say.

The same elements have one namespace in usual documents and another in strict ones.
"""

from __future__ import annotations

from lxml import etree  # type: ignore[import-untyped]

from devstack.core.reading.faults import Unreadable, nested_too_deeply

DEEPEST_STYLE = 20
_PROLOG_BYTES = 64 * 1024
_OFF = frozenset(("0", "false", "off", "none"))
# Text of this size, in half points, or smaller is a dot to whoever looks at it.
SMALLEST_SHOWN = 3


def parsed(part: bytes) -> etree._Element:
    """A part's root element.

    Raises:
        Unreadable: it is no XML, has a document type (Word writes none), or is nested too deeply.
    """
    # A document type can make a few letters stand for gigabytes, and the parser would try.
    if b"<!DOCTYPE" in part[:_PROLOG_BYTES]:
        raise Unreadable("The Word document declares XML entities, which no word processor does.")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
    try:
        root = etree.fromstring(part, parser)
    except etree.XMLSyntaxError as fault:
        if fault.code == etree.ErrorTypes.ERR_RESOURCE_LIMIT:
            raise nested_too_deeply() from fault
        raise Unreadable("The Word document is damaged and cannot be read.") from fault
    if root.getroottree().docinfo.internalDTD is not None:
        raise Unreadable("The Word document declares XML entities, which no word processor does.")
    return root


def child(element: etree._Element, *names: str) -> etree._Element | None:
    """The element that a path of local names leads to, or None."""
    found: etree._Element | None = element
    for name in names:
        found = None if found is None else found.find(f"{{*}}{name}")
    return found


def attribute(element: etree._Element, name: str) -> str:
    """An attribute by its local name, "" when there is none."""
    for key, found in element.attrib.items():
        if etree.QName(key).localname == name:
            return str(found)
    return ""


def value(element: etree._Element, *names: str) -> str:
    """The ``val`` of the element that a path leads to, "" when there is none."""
    found = child(element, *names)
    return "" if found is None else attribute(found, "val")


def is_on(element: etree._Element, *names: str) -> bool:
    """Whether a switch, which may have ``val="0"``, is set."""
    found = child(element, *names)
    return found is not None and attribute(found, "val").lower() not in _OFF


class Styles:
    """What the styles of a document say of numbers, headings and hidden text."""

    def __init__(self, styles: etree._Element | None) -> None:
        found = [] if styles is None else styles.findall("{*}style")
        self._styles = {attribute(style, "styleId"): style for style in found}

    def numbering(self, paragraph: etree._Element) -> tuple[str, int] | None:
        """The list and the level that a paragraph is numbered by, itself or by its style."""
        for holder in (paragraph, *self._line(value(paragraph, "pPr", "pStyle"))):
            number = value(holder, "pPr", "numPr", "numId")
            if number:
                level = value(holder, "pPr", "numPr", "ilvl")
                return None if number == "0" else (number, int(level) if level.isdecimal() else 0)
        return None

    def headings(self) -> dict[str, int]:
        """The names of the paragraph styles that are headings, with their levels from 1."""
        names = {}
        for style_id, style in self._styles.items():
            outline = next(
                (
                    level
                    for one in self._line(style_id)
                    if (level := value(one, "pPr", "outlineLvl"))
                ),
                "",
            )
            if outline.isdecimal() and int(outline) < 9:
                names[value(style, "name")] = int(outline) + 1
        return names

    def is_hidden(self, run: etree._Element, paragraph_style: str) -> bool:
        """Whether a run of text is not shown."""
        if child(run, "rPr", "vanish") is not None:
            return is_on(run, "rPr", "vanish")
        size = value(run, "rPr", "sz")
        if size.isdecimal() and int(size) < SMALLEST_SHOWN:
            return True
        styles = (*self._line(value(run, "rPr", "rStyle")), *self._line(paragraph_style))
        return any(is_on(style, "rPr", "vanish") for style in styles)

    def _line(self, style_id: str) -> list[etree._Element]:
        """A style and those that it is based on."""
        line: list[etree._Element] = []
        while style_id in self._styles and len(line) < DEEPEST_STYLE:
            line.append(self._styles[style_id])
            style_id = value(line[-1], "basedOn")
        return line
