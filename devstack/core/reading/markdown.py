"""Markdown: read as the page that it becomes, with the HTML that stands in it."""

from __future__ import annotations

import re
from pathlib import Path

from markdown_it import MarkdownIt
from mdit_py_plugins.footnote import footnote_plugin

from devstack.core.reading.blocks import ReadDocument
from devstack.core.reading.builder import DocumentBuilder
from devstack.core.reading.encodings import bounded_bytes, decode_text
from devstack.core.reading.faults import nested_too_deeply
from devstack.core.reading.html import add_html

DEEPEST = 100

# What stands between two lines of dashes at the top is for programs; a page shows its title.
_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n(?P<fields>.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S
)
# Blanks are tried once, from the first: a long row of them would take its length squared.
_BACK_LINK = re.compile(r'(?<! ) *<a href="#fnref[^"]*" class="footnote-backref">[^<]*</a>')
_TITLE = re.compile(r"^title:[ \t]*(?P<title>\S.*?)[ \t]*$", re.M)


def read_markdown(path: Path) -> ReadDocument:
    """The blocks of a Markdown file.

    Raises:
        Unreadable: with a message for the user.
    """
    text, warning = decode_text(bounded_bytes(path))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    front = _FRONT_MATTER.match(text)
    builder = DocumentBuilder(_title(front["fields"]) if front else "")
    if warning:
        builder.warn(warning)
    add_html(builder, _page(text[front.end() :] if front else text))
    return builder.done()


def _page(text: str) -> str:
    options = {"html": True, "maxNesting": DEEPEST}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    parser.use(footnote_plugin)
    env: dict[str, object] = {}
    tokens = parser.parse(text, env)
    # The parser leaves out what is nested more deeply, without a word.
    if any(token.level >= DEEPEST - 1 for token in tokens):
        raise nested_too_deeply()
    return _BACK_LINK.sub("", str(parser.renderer.render(tokens, parser.options, env)))


def _title(fields: str) -> str:
    found = _TITLE.search(fields)
    return found["title"].strip("\"'") if found else ""
