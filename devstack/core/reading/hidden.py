"""What of an HTML page is not shown: by attributes, and by the rules of its style sheets."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser, LexborNode

from devstack.core.reading.selectors import Selected, TooMuchWork, weight
from devstack.core.reading.style_sheets import (
    INHERITED,
    LONGEST_SHEETS,
    Effects,
    Rule,
    effects,
    rules,
)

_ATTRIBUTES = "[hidden], dialog:not([open]), [popover]"
# What counts more: importance, not to stand in a layer, and the selector's weight.
_Weight = tuple[bool, bool, tuple[int, int, int]]
_INLINE = (1_000_000, 0, 0)


def hidden_nodes(tree: LexborHTMLParser) -> set[int]:
    """The ``mem_id`` of each element that is hidden, with all that is in it."""
    page = _Shown(tree)
    try:
        page.follow_sheets()
        page.follow_attributes()
    except TooMuchWork:
        # A rule that shows might be among those not followed.
        page = _Shown(tree)
    hidden = page.hidden()
    hidden.update(node.mem_id for node in tree.css(_ATTRIBUTES))
    return hidden


class _Shown:
    """For each property that hides, the elements it is set for, with the heaviest that set it."""

    def __init__(self, tree: LexborHTMLParser) -> None:
        self._tree = tree
        self._set: dict[str, dict[int, tuple[_Weight, bool, LexborNode]]] = {}

    def follow_sheets(self) -> None:
        """Raises TooMuchWork."""
        found = self._rules()
        if not any(hides for rule in found for hides, _ in rule.effects.values()):
            return
        selected = Selected(self._tree)
        # What shows needs to be looked for only where something else hides.
        hiding: set[str] = set()
        for rule in found:
            names = {name for name, (hides, _) in rule.effects.items() if hides} - hiding
            if names and selected.nodes(rule.selector):
                hiding |= names
        for rule in found:
            if not hiding.isdisjoint(rule.effects):
                self._apply(rule, selected, hiding)

    def _rules(self) -> list[Rule]:
        found: list[Rule] = []
        left = LONGEST_SHEETS
        for sheet in self._tree.css("style"):
            text = sheet.text()
            left -= len(text)
            if left < 0:
                raise TooMuchWork
            found.extend(rules(text, sheet.attributes.get("media") or ""))
        return found

    def _apply(self, rule: Rule, selected: Selected, hiding: set[str]) -> None:
        heavy = weight(rule.selector)
        for node in selected.nodes(rule.selector).values():
            for name, (hides, important) in rule.effects.items():
                if name in hiding:
                    self._put(name, node, (important, not rule.layered, heavy), hides)

    def follow_attributes(self) -> None:
        """Raises TooMuchWork."""
        known: dict[str, Effects] = {}
        left = LONGEST_SHEETS
        for node in self._tree.css("[style]"):
            style = node.attributes.get("style") or ""
            if style not in known:
                left -= len(style)
                if left < 0:
                    raise TooMuchWork
                known[style] = effects(style)
            for name, (hides, important) in known[style].items():
                self._put(name, node, (important, True, _INLINE), hides)

    def _put(self, name: str, node: LexborNode, heavy: _Weight, hides: bool) -> None:
        nodes = self._set.setdefault(name, {})
        before = nodes.get(node.mem_id)
        if before is None or heavy >= before[0]:
            nodes[node.mem_id] = (heavy, hides, node)

    def hidden(self) -> set[int]:
        hidden: set[int] = set()
        for name, nodes in self._set.items():
            found = {key for key, (_, hides, _) in nodes.items() if hides}
            if name in INHERITED and found:
                found -= _above([node for _, hides, node in nodes.values() if not hides])
            hidden |= found
        return hidden


def _above(nodes: list[LexborNode]) -> set[int]:
    """All that has one of these in it: what is shown there must be read."""
    above: set[int] = set()
    for node in nodes:
        at = node.parent
        while at is not None and at.mem_id not in above:
            above.add(at.mem_id)
            at = at.parent
    return above
