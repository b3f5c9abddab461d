"""The elements of a page that a selector of a style sheet means, within bounds of work."""

from __future__ import annotations

import re
from typing import Any

import tinycss2
from selectolax.lexbor import LexborHTMLParser, LexborNode

# An element compared with a selector takes a fifth of a microsecond.
MOST_COMPARED = 50_000_000
MOST_SELECTORS = 10_000
# Elements found or gone up to.
MOST_STEPS = 1_000_000
# Siblings are compared each with all others, so in small pages only, and for few selectors.
MOST_SIBLINGS = 2_000
_CHEAP = frozenset(("root", "first-child", "last-child", "only-child"))
_COSTLY = frozenset(("first-of-type", "last-of-type", "only-of-type", "empty"))
_COSTLY_FUNCTIONS = frozenset(("nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type"))
_COMPARES_SIBLINGS = re.compile(r"~|:nth|-of-type|:empty", re.I)
_PLAIN = frozenset(("ident", "string", "number", "whitespace", "literal", "hash"))


class TooMuchWork(Exception):
    """A page's style sheets cannot be followed in reasonable time."""


def weight(selector: list[Any]) -> tuple[int, int, int]:
    """The specificity: ids, classes and the like, names."""
    ids = classes = names = 0
    before = ""
    for token in selector:
        if token.type == "hash":
            ids += 1
        elif token.type == "[] block" or (token.type == "ident" and before in (".", ":")):
            classes += 1
        elif token.type == "ident":
            names += 1
        elif token.type == "function" and token.lower_name in ("not", "is"):
            inner = weight(token.arguments)
            ids, classes, names = ids + inner[0], classes + inner[1], names + inner[2]
        elif token.type == "function" and token.lower_name != "where":
            classes += 1
        before = token.value if token.type == "literal" else ""
    return ids, classes, names


class Selected:
    """Finds what selectors mean; a selector that is not understood, or that is about a state or
    a part (``:hover``, ``::before``), means nothing."""

    def __init__(self, tree: LexborHTMLParser) -> None:
        self._tree = tree
        self._elements = len(tree.css("*"))
        self._asked = self._steps = self._siblings = 0
        self._known: dict[str, dict[int, LexborNode]] = {}

    def nodes(self, selector: list[Any]) -> dict[int, LexborNode]:
        """By ``mem_id``.

        Raises:
            TooMuchWork: after all that was asked before.
        """
        siblings = sum(token == "~" for token in selector)
        if len(selector) > 100 or siblings > 1 or not self._understood(selector, 0):
            return {}
        *above, last = [(self._matched(text), up) for text, up in _parts(selector)]
        found = last[0]
        if above:
            found = {k: node for k, node in found.items() if self._within(node, last[1], above)}
        self._step(len(found))
        return found

    def _step(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise TooMuchWork

    def _understood(self, tokens: list[Any], depth: int) -> bool:
        small = self._elements <= MOST_SIBLINGS
        before = ""
        for token in tokens:
            value = token.value if token.type == "literal" else ""
            if token.type == "ident" and before == ":":
                name = token.lower_value
                known = name in _CHEAP or (small and name in _COSTLY)
            elif token.type == "function":
                known = before == ":" and self._function(token, depth)
            elif token.type == "[] block":
                known = all(
                    inner.type in _PLAIN or inner.type == "literal" for inner in token.content
                )
            else:
                known = token.type in _PLAIN and (small or value != "~") and value != "&"
            if not known or (before == ":" and value == ":"):
                return False
            before = value
        return bool(tokens)

    def _function(self, token: Any, depth: int) -> bool:
        if token.lower_name in _COSTLY_FUNCTIONS:
            plain = (*_PLAIN, "dimension")
            return self._elements <= MOST_SIBLINGS and all(t.type in plain for t in token.arguments)
        # Spaces and signs in it would make it a path, which takes more than linear time.
        path = any(t.type == "whitespace" or t in (">", "+", "~") for t in token.arguments)
        simple = token.lower_name in ("not", "is", "where") and not path and depth < 3
        return simple and self._understood(token.arguments, depth + 1)

    def _matched(self, text: str) -> dict[int, LexborNode]:
        if text not in self._known:
            self._asked += 1
            if self._asked > MOST_SELECTORS or self._asked * self._elements > MOST_COMPARED:
                raise TooMuchWork
            self._known[text] = {node.mem_id: node for node in self._found(text)}
            self._step(len(self._known[text]))
        return self._known[text]

    def _found(self, text: str) -> list[LexborNode]:
        if _COMPARES_SIBLINGS.search(text):
            self._siblings += self._elements**2
            if self._siblings > MOST_COMPARED:
                return []
        try:
            return list(self._tree.css(text))
        except Exception:
            # What the parser raises is not a public class of it.
            return []

    def _within(
        self, node: LexborNode, up: int, above: list[tuple[dict[int, LexborNode], int]]
    ) -> bool:
        """Whether each part stands above the next: the nearest that does is as good as any."""
        at: LexborNode | None = node
        for matched, more in reversed(above):
            for _ in range(up + 1):
                at = at.parent if at is not None else None
            while at is not None and at.mem_id not in matched:
                at = at.parent
                self._step(1)
            up = more
        return at is not None


def _parts(selector: list[Any]) -> list[tuple[str, int]]:
    """The parts that stand anywhere in each other, with how many levels each goes up itself.
    The parser would try all ways to place them, so it is given one at a time."""
    parts: list[list[Any]] = [[]]
    signs = (">", "+", "~")
    spaces = [token.type == "whitespace" for token in selector]
    for at, token in enumerate(selector):
        beside = (*selector[max(0, at - 1) : at], *selector[at + 1 : at + 2])
        if not spaces[at]:
            parts[-1].append(token)
        elif not any(one in signs for one in beside):
            parts.append([])
    return [(tinycss2.serialize(part), sum(t == ">" for t in part)) for part in parts if part]
