"""HTML: what a page shows, read by the rules that browsers parse by."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser, LexborNode

from devstack.core.reading.blocks import Kind, ReadDocument
from devstack.core.reading.builder import DocumentBuilder
from devstack.core.reading.encodings import bounded_bytes, decode_html
from devstack.core.reading.faults import Unreadable, nested_too_deeply
from devstack.core.reading.hidden import hidden_nodes
from devstack.core.reading.numbers import numeral
from devstack.core.reading.plain import add_lines
from devstack.core.reading.tables import Cell, Table

# The parser looks through all open elements at each of these, so their depth is bounded first.
DEEPEST = 2_000
_NESTING = re.compile(
    r"<(/?)(?:div|section|article|main|nav|aside|header|footer|ul|ol|dl|blockquote|table|center"
    r"|figure|fieldset|details|pre|address)\b",
    re.I,
)
# It also compares each attribute of an element with all others of it.
LONGEST_TAG_CHARS = 20_000
MOST_ATTRIBUTES = 2_000
_TAG = re.compile(r"<[a-zA-Z]")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SKIPPED = frozenset(
    """script style template noscript noframes datalist head title meta link rp iframe object embed
    audio video canvas -comment -doctype""".split()  # noqa: SIM905
)
_EMBEDDED = "object, embed, iframe[src]"
_INLINE = frozenset(
    """a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q rb rt ruby
    s samp small span strike strong sub sup time tt u var wbr img""".split()  # noqa: SIM905
)
_SPACE = re.compile(r"[ \t\n\r\f]+")
_AROUND_BREAK = re.compile(r" *\n *")
_TYPED = frozenset(("", "text", "email", "number", "tel", "url", "date", "button", "submit"))


def read_html(path: Path) -> ReadDocument:
    """The blocks of a page.

    Raises:
        Unreadable: with a message for the user.
    """
    markup, warning = decode_html(bounded_bytes(path))
    builder = DocumentBuilder()
    if warning:
        builder.warn(warning)
    add_html(builder, markup)
    return builder.done()


def add_html(builder: DocumentBuilder, markup: str) -> None:
    """Add what a piece of HTML shows."""
    _check_shape(markup)
    tree = LexborHTMLParser(markup)
    title = tree.css_first("title")
    if title is not None and not builder.title:
        builder.title = _SPACE.sub(" ", title.text()).strip()
    _Page(builder, tree).read()
    embedded = len(tree.css(_EMBEDDED))
    if embedded:
        objects = "embedded object was" if embedded == 1 else "embedded objects were"
        builder.warn(f"{embedded:,} {objects} not read.")


def _check_shape(markup: str) -> None:
    """Refuse what would take the parser more than linear time."""
    depth = 0
    for tag in _NESTING.finditer(markup):
        depth = max(0, depth - 1) if tag[1] else depth + 1
        if depth > DEEPEST:
            raise nested_too_deeply()
    for piece in markup.split(">")[:-1]:
        if len(piece) > LONGEST_TAG_CHARS and _attributes(piece) > MOST_ATTRIBUTES:
            raise Unreadable("The page's markup is broken: an element has thousands of attributes.")


def _attributes(piece: str) -> int:
    """About how many attributes the tag that ends here has; a piece without a tag has none."""
    opened = _TAG.search(piece)
    return 0 if opened is None else len(_QUOTED.sub("", piece[opened.start() :]).split())


def _layout_tables(tree: LexborHTMLParser) -> set[int]:
    """The tables that only arrange a page: those with a table or a heading in them."""
    layout: set[int] = set()
    for inner in tree.css("table table, table h1, table h2, table h3, table h4"):
        node = inner.parent
        while node is not None and node.mem_id not in layout:
            if node.tag == "table":
                layout.add(node.mem_id)
            node = node.parent
    layout.update(node.mem_id for node in tree.css("table[role=presentation]"))
    return layout


def _steps(root: LexborNode, hidden: Container[int]) -> Iterator[tuple[LexborNode, bool]]:
    """Each node that is shown, with True on the way in and False on the way out."""
    open_nodes: list[LexborNode] = []
    node: LexborNode | None = root
    while node is not None or open_nodes:
        if node is None:
            node = open_nodes.pop()
            yield node, False
            node = node.next
        elif node.tag in _SKIPPED or node.mem_id in hidden:
            node = node.next
        else:
            yield node, True
            open_nodes.append(node)
            node = node.first_child


@dataclass(slots=True)
class _List:
    numbered: str | None  # how: "1", "a", "A", "i", "I"
    next: int = 1


class _Page:
    """Gives the builder what a page's elements show, in their order."""

    def __init__(self, builder: DocumentBuilder, tree: LexborHTMLParser) -> None:
        self._builder = builder
        self._tree = tree
        self._layout = _layout_tables(tree)
        self._inline: list[str] = []
        self._number = ""
        self._lists: list[_List] = []
        self._tables: list[Table] = []
        self._in_cell = self._in_head = False
        self._quoted = self._verbatim = self._items = 0

    def read(self) -> None:
        if self._tree.root is None:
            return
        for node, entering in _steps(self._tree.root, hidden_nodes(self._tree)):
            if entering:
                self._enter(node, node.tag or "")
            else:
                self._leave(node, node.tag or "")
        self._flush()

    def _enter(self, node: LexborNode, tag: str) -> None:
        if tag == "-text":
            text = node.text_content or ""
            self._inline.append(text if self._verbatim else _SPACE.sub(" ", text))
        elif tag == "br":
            self._inline.append("\n")
        elif tag == "input":
            self._inline.append(_shown_input(node.attributes))
        elif tag not in _INLINE:
            self._flush()
            self._open(node, tag)

    def _open(self, node: LexborNode, tag: str) -> None:
        match tag:
            case "ul" | "ol" | "menu":
                self._lists.append(_list(node) if tag == "ol" else _List(None))
            case "li":
                self._items += 1
                self._number = self._item_number(node)
            case "dd":
                self._items += 1
            case "blockquote":
                self._quoted += 1
            case "pre" | "textarea":
                self._verbatim += 1
            case "table" if node.mem_id not in self._layout:
                self._tables.append(Table())
            case "thead":
                self._in_head = True
            case "tr" if self._tables:
                self._tables[-1].begin_row(in_head=self._in_head)
            case "td" | "th" if self._tables:
                self._in_cell = True

    def _leave(self, node: LexborNode, tag: str) -> None:
        if tag in _INLINE or tag in ("-text", "br", "input"):
            return
        if tag in ("td", "th") and self._tables:
            self._end_cell(node, tag)
        elif tag in _HEADINGS and not self._in_cell:
            self._builder.heading(_SPACE.sub(" ", self._taken()), _HEADINGS[tag])
        elif tag == "pre" and not self._in_cell:
            self._end_verbatim(node)
        else:
            self._flush()
        self._close(node, tag)

    def _close(self, node: LexborNode, tag: str) -> None:
        match tag:
            case "ul" | "ol" | "menu":
                self._lists.pop()
                if not self._lists:
                    self._builder.end_list()
            case "dl":
                self._builder.end_list()
            case "li" | "dd":
                self._items -= 1
                self._number = ""
            case "blockquote":
                self._quoted -= 1
            case "pre" | "textarea":
                self._verbatim -= 1
            case "thead":
                self._in_head = False
            case "table" if node.mem_id not in self._layout:
                self._tables.pop().emit(self._builder)

    def _end_cell(self, node: LexborNode, tag: str) -> None:
        attributes = node.attributes
        text = " ".join(self._taken().split())
        self._tables[-1].add(
            Cell(text, tag == "th", _count(attributes, "colspan"), _count(attributes, "rowspan"))
        )
        self._in_cell = False

    def _end_verbatim(self, node: LexborNode) -> None:
        """Code as it stands; other text that was laid out by hand, as a text file's is."""
        text = "".join(self._inline)
        self._inline.clear()
        if node.css_first("code, samp, kbd") is not None or node.attributes.get("class"):
            self._builder.paragraph(text, Kind.CODE)
        else:
            add_lines(self._builder, text)

    def _item_number(self, node: LexborNode) -> str:
        current = self._lists[-1] if self._lists else _List(None)
        if current.numbered is None:
            return ""
        own = _count(node.attributes, "value", current.next)
        current.next = own + 1
        return f"{numeral(own, current.numbered)}. "

    def _taken(self) -> str:
        text = _AROUND_BREAK.sub("\n", re.sub(" {2,}", " ", "".join(self._inline)))
        self._inline.clear()
        return text.strip(" \n")

    def _flush(self) -> None:
        """A block ends here."""
        if self._in_cell:
            self._inline.append(" ")
            return
        text = self._taken()
        if not text:
            return
        if self._items:
            self._builder.item(self._number + text, max(1, len(self._lists)))
            self._number = ""
        else:
            self._builder.paragraph(text, Kind.QUOTATION if self._quoted else Kind.PARAGRAPH)


def _shown_input(attributes: dict[str, str | None]) -> str:
    """What a form's field shows: what is filled in, or a box."""
    kind = (attributes.get("type") or "").lower()
    if kind in ("checkbox", "radio"):
        return "☒" if "checked" in attributes else "☐"
    return f" {attributes.get('value') or ''} " if kind in _TYPED else ""


def _list(node: LexborNode) -> _List:
    return _List(node.attributes.get("type") or "1", _count(node.attributes, "start"))


def _count(attributes: dict[str, str | None], name: str, default: int = 1) -> int:
    value = (attributes.get(name) or "").strip()
    return int(value) if re.fullmatch(r"\d{1,6}", value, re.A) else default
