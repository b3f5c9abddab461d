"""Word documents: made into the page that Word would show, and read as one.

mammoth turns a document into HTML. What it leaves to Word is done before, in the document's XML:
numbers are counted, hidden text is taken out, and what it does not know is put in what it knows.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import mammoth  # type: ignore[import-untyped]
from lxml import etree  # type: ignore[import-untyped]

from devstack.core.reading.blocks import ReadDocument
from devstack.core.reading.builder import DocumentBuilder
from devstack.core.reading.faults import Unreadable, nested_too_deeply
from devstack.core.reading.html import add_html
from devstack.core.reading.package import unpacked
from devstack.core.reading.signatures import announced_wrongly
from devstack.core.reading.word_numbers import Numbering
from devstack.core.reading.word_xml import Styles, attribute, child, parsed, value

RECURSION_LIMIT = 20_000  # mammoth calls itself several times for each level of a document

_MAIN = ("document.main+xml", "document.macroEnabled.main+xml", "template.main+xml")
_MAMMOTH_HEADINGS = 6
_WRAPPERS = ("fldSimple", "dir", "bdo", "moveTo", "ins", "smartTag", "customXml")
_NOTE_LINK = re.compile(r'<a href="#[^"]*-ref-[^"]*">↑</a>')
_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='Quote'] => blockquote > p:fresh
p[style-name='Intense Quote'] => blockquote > p:fresh
"""


def read_docx(path: Path) -> ReadDocument:
    """The blocks of a Word document.

    Raises:
        Unreadable: with a message for the user.
    """
    if not zipfile.is_zipfile(path):
        raise Unreadable(announced_wrongly(path, "a Word document (.docx)"))
    parts = unpacked(path)
    main = _part(parts, *_MAIN)
    if main is None:
        raise Unreadable(announced_wrongly(path, "a Word document (.docx)", parts))
    builder = DocumentBuilder()
    add_html(builder, _page(parts, main, builder))
    return builder.done()


def _part(parts: dict[str, bytes], *endings: str) -> str | None:
    """The name of the part with a content type that ends so."""
    types = parts.get("[Content_Types].xml")
    if types is None:
        return None
    for override in parsed(types).iterfind("{*}Override"):
        name = attribute(override, "PartName").lstrip("/")
        if attribute(override, "ContentType").endswith(endings) and name in parts:
            return name
    return None


def _page(parts: dict[str, bytes], main: str, builder: DocumentBuilder) -> str:
    styles = Styles(_root(parts, _part(parts, "styles+xml")))
    numbering_name = _part(parts, "numbering+xml")
    numbering = _root(parts, numbering_name)
    document = parsed(parts[main])
    _tell_objects(document, builder)
    _prepare(document, styles, Numbering(numbering, styles))
    parts[main] = etree.tostring(document, encoding="utf-8", xml_declaration=True)
    if numbering is not None and numbering_name is not None:
        _count_nothing(numbering)
        parts[numbering_name] = etree.tostring(numbering, encoding="utf-8", xml_declaration=True)
    return _converted(parts, _style_map(styles))


def _root(parts: dict[str, bytes], name: str | None) -> etree._Element | None:
    return None if name is None else parsed(parts[name])


def _converted(parts: dict[str, bytes], style_map: str) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as stored:
        for name, data in parts.items():
            stored.writestr(name, data)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(RECURSION_LIMIT)
    try:
        converted = mammoth.convert_to_html(
            packed, style_map=style_map, convert_image=_no_picture, external_file_access=False
        )
    except RecursionError as fault:
        raise nested_too_deeply() from fault
    except MemoryError:
        raise
    except Exception as fault:
        # mammoth lets any built-in exception through on damaged files.
        raise Unreadable("The Word document is damaged and cannot be read.") from fault
    finally:
        sys.setrecursionlimit(limit)
    return _NOTE_LINK.sub("", converted.value)


def _no_picture(_: Any) -> list[Any]:
    return []


def _style_map(styles: Styles) -> str:
    lines = []
    for name, level in styles.headings().items():
        if "\n" not in name:
            quoted = name.replace("\\", "\\\\").replace("'", "\\'")
            lines.append(f"p[style-name='{quoted}'] => h{min(level, _MAMMOTH_HEADINGS)}:fresh")
    return "\n".join((*lines, _STYLES))


def _prepare(document: etree._Element, styles: Styles, numbering: Numbering) -> None:
    _choose_alternatives(document)
    for row in document.findall(".//{*}tr"):
        if child(row, "trPr", "del") is not None:
            _remove(row)
    for formula in document.findall(".//{*}oMath"):
        _replace_with_text(formula)
    etree.strip_tags(document, *(f"{{*}}{name}" for name in _WRAPPERS))
    for paragraph in document.iter("{*}p"):
        style = value(paragraph, "pPr", "pStyle")
        for run in paragraph.findall(".//{*}r"):
            if styles.is_hidden(run, style):
                _remove(run)
        _number(paragraph, numbering)
        _name_heading(paragraph)


def _choose_alternatives(document: etree._Element) -> None:
    """Keep one of what is there twice, for new and for old programs: the one that has text."""
    for both in document.findall(".//{*}AlternateContent"):
        parent = both.getparent()
        if parent is None:
            continue
        fallback = child(both, "Fallback")
        if fallback is not None and fallback.find(".//{*}t") is not None:
            for choice in both.findall("{*}Choice"):
                both.remove(choice)
            continue
        boxes = both.findall(".//{*}txbxContent")
        parent.replace(both, _box(both, boxes)) if boxes else None
    for drawing in document.findall(".//{*}drawing"):
        boxes = drawing.findall(".//{*}txbxContent")
        if boxes and (parent := drawing.getparent()) is not None:
            parent.replace(drawing, _box(drawing, boxes))


def _box(element: etree._Element, boxes: list[etree._Element]) -> etree._Element:
    """The same text boxes in the element that old programs have for them."""
    box = etree.Element("{urn:schemas-microsoft-com:vml}textbox")
    box.extend(boxes)
    picture = etree.Element(f"{{{etree.QName(boxes[0]).namespace}}}pict")
    picture.append(box)
    picture.tail = element.tail
    return picture


def _replace_with_text(formula: etree._Element) -> None:
    """A formula as its letters, in their order."""
    paragraph = next(formula.iterancestors("{*}p"), None)
    parent = formula.getparent()
    if paragraph is not None and parent is not None:
        parent.replace(formula, _run(paragraph, "".join(formula.itertext("{*}t"))))


def _number(paragraph: etree._Element, numbering: Numbering) -> None:
    label = numbering.label(paragraph)
    if label and paragraph.find(".//{*}t") is not None:
        behind = 0 if child(paragraph, "pPr") is None else 1
        paragraph.insert(behind, _run(paragraph, f"{label} "))


def _name_heading(paragraph: etree._Element) -> None:
    """Give a paragraph that is a heading by itself, without a style, the style of one."""
    properties = child(paragraph, "pPr")
    level = "" if properties is None else value(properties, "outlineLvl")
    if properties is not None and level.isdecimal() and int(level) < _MAMMOTH_HEADINGS:
        for style in properties.findall("{*}pStyle"):
            properties.remove(style)
        namespace = etree.QName(paragraph).namespace
        style = etree.SubElement(properties, f"{{{namespace}}}pStyle")
        style.set(f"{{{namespace}}}val", f"Heading{int(level) + 1}")


def _run(paragraph: etree._Element, text: str) -> etree._Element:
    namespace = etree.QName(paragraph).namespace
    run = etree.Element(f"{{{namespace}}}r")
    etree.SubElement(run, f"{{{namespace}}}t").text = text
    return run


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _count_nothing(numbering: etree._Element) -> None:
    """Make all lists bulleted: their numbers are in the paragraphs by now."""
    for form in numbering.iter("{*}numFmt"):
        for name in form.attrib:
            if etree.QName(name).localname == "val":
                form.set(name, "bullet")


def _tell_objects(document: etree._Element, builder: DocumentBuilder) -> None:
    count = sum(
        1
        for element in document.iter("{*}OLEObject", "{*}chart", "{*}relIds")
        if not any(etree.QName(above).localname == "Fallback" for above in element.iterancestors())
    )
    if count:
        objects = "embedded object (a chart, a drawing or another file) was"
        several = "embedded objects (charts, drawings or other files) were"
        builder.warn(f"{count:,} {objects if count == 1 else several} not read.")
