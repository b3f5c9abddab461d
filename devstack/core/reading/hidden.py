"""What of an HTML page is not shown: by attributes, and by the plain rules of its style sheets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

# Each selector is one walk through the page.
MOST_SELECTORS = 200

_ATTRIBUTES = "[hidden], dialog:not([open])"
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
# Hidden from everybody who looks, however it is done.
_HIDES = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)"
    r"|content-visibility\s*:\s*hidden"
    r"|opacity\s*:\s*0*\.?0*%?\s*(?=;|!|$)"
    r"|font-size\s*:\s*0*\.?0*(?:px|pt|em|rem|%)?\s*(?=;|!|$)"
    r"|(?:left|top|right|text-indent)\s*:\s*-\d{4,}(?:\.\d+)?px"
    r"|clip\s*:\s*rect\(\s*[01](?:px)?[ ,])",
    re.I,
)
_SHOWS = re.compile(r"(?:^|;)\s*(?:display\s*:\s*(?!none)\w|visibility\s*:\s*visible)", re.I)


def hidden_nodes(tree: LexborHTMLParser) -> set[int]:
    """The ``mem_id`` of each element that is hidden, with all that is in it."""
    hidden: set[int] = set()
    for selector, hides in _style_rules(tree):
        found = {node.mem_id for node in _selected(tree, selector)}
        hidden = hidden | found if hides else hidden - found
    hidden.update(node.mem_id for node in tree.css(_ATTRIBUTES))
    for node in tree.css("[style]"):
        style = node.attributes.get("style") or ""
        if _HIDES.search(style):
            hidden.add(node.mem_id)
        elif _SHOWS.search(style) and "hidden" not in node.attributes:
            hidden.discard(node.mem_id)
    return hidden


def _style_rules(tree: LexborHTMLParser) -> Iterator[tuple[str, bool]]:
    """The selectors of rules that hide (True) or show (False), in order. Specificity is not
    weighed, and rules for some media only are left out."""
    count = 0
    for sheet in tree.css("style"):
        for rule in _RULE.finditer(_for_all_media(_COMMENT.sub("", sheet.text()))):
            hides = _HIDES.search(rule[2]) is not None
            if count < MOST_SELECTORS and (hides or _SHOWS.search(rule[2])):
                count += 1
                yield rule[1].strip(), hides


def _for_all_media(sheet: str) -> str:
    """A style sheet without its at-rules, each with all that stands between its braces."""
    kept, start = [], 0
    while (at := sheet.find("@", start)) >= 0:
        kept.append(sheet[start:at])
        start = _behind_rule(sheet, at)
    return "".join((*kept, sheet[start:]))


_ENDS = re.compile(r"[{};]")


def _behind_rule(sheet: str, at: int) -> int:
    depth = 0
    for mark in _ENDS.finditer(sheet, at):
        depth += {"{": 1, "}": -1, ";": 0}[mark.group()]
        if depth <= 0 and mark.group() != "{":
            return mark.end()
    return len(sheet)


def _selected(tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    # States (":hover") and parts ("::before") are not how the page looks when it opens; what
    # stands beside them in a list is.
    plain = ",".join(one for one in selector.split(",") if ":" not in one)
    if not plain or len(plain) > 500:
        return []
    try:
        return list(tree.css(plain))
    except Exception:
        # The parser has no exception class of its own for a selector that it does not know.
        return []
