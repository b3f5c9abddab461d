"""What style sheets say about whether an element is shown: their rules, by property and weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tinycss2

# Half a million characters take half a second to parse.
LONGEST_SHEETS = 2_000_000
_DEEPEST = 8
_MEDIA_FOR_ALL = frozenset(("", "all", "screen", "only screen", "only all", "not print"))
_MEDIA_FOR_OTHERS = ("print", "only print", "speech", "only speech", "not all")
_FAR_AWAY = {"px": -999, "em": -99, "rem": -99}

# A property that hides or not, and whether it is important.
Effects = dict[str, tuple[bool, bool]]


class Rule(NamedTuple):
    """A selector's tokens, what its declarations do, and whether it stands in a layer."""

    selector: list[Any]
    effects: Effects
    layered: bool


def rules(sheet: str, media: str) -> Iterator[Rule]:
    """The rules of a style sheet that concern a screen, in order. One that may not apply (a
    width, a feature) is taken only as far as it shows something."""
    applies = _on_screen(tinycss2.parse_component_value_list(media))
    parsed = tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True)
    if applies != "never":
        yield from _rules(parsed, applies == "always", False, 0)


def _rules(parsed: Sequence[Any], sure: bool, layered: bool, depth: int) -> Iterator[Rule]:
    for rule in parsed:
        if rule.type == "qualified-rule":
            done = effects(rule.content)
            kept = {name: does for name, does in done.items() if sure or not does[0]}
            for selector in _listed(rule.prelude) if kept else ():
                yield Rule(selector, kept, layered)
        elif rule.type == "at-rule" and rule.content is not None and depth < _DEEPEST:
            keyword = rule.lower_at_keyword
            applies = _applies(keyword, rule.prelude)
            if applies != "never":
                inner = tinycss2.parse_rule_list(rule.content, True, True)
                inside = layered or keyword == "layer"
                yield from _rules(inner, sure and applies == "always", inside, depth + 1)


def _applies(keyword: str, prelude: Sequence[Any]) -> str:
    match keyword:
        case "layer":
            return "always"
        case "media":
            return _on_screen(prelude)
        case "supports" | "container" | "scope":
            return "perhaps"
    return "never"


def _on_screen(media: Sequence[Any]) -> str:
    queries = [" ".join(_word(token) for token in query) for query in _listed(media)]
    if not queries or any(query in _MEDIA_FOR_ALL for query in queries):
        return "always"
    others = all(query.startswith(_MEDIA_FOR_OTHERS) for query in queries)
    return "never" if others else "perhaps"


def _word(token: Any) -> str:
    return token.lower_value if token.type == "ident" else f"({token.type})"


def _listed(tokens: Sequence[Any]) -> list[list[Any]]:
    """The parts between commas, without comments and without space around them."""
    parts: list[list[Any]] = [[]]
    for token in tokens:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        elif token.type != "comment" and (parts[-1] or token.type != "whitespace"):
            parts[-1].append(token)
    for part in parts:
        while part and part[-1].type == "whitespace":
            part.pop()
    spaceless = [[t for t in part if t.type != "whitespace"] for part in parts]
    return [part for part, words in zip(parts, spaceless, strict=True) if words]


def effects(content: Any) -> Effects:
    """What the declarations of a rule, or of a ``style`` attribute, do, by property; a size of
    nothing and the overflow that cuts off what is in it count together, as ``size``."""
    found: dict[str, tuple[list[Any], bool]] = {}
    for one in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if one.type == "declaration":
            value = [token for token in one.value if token.type not in ("whitespace", "comment")]
            if value and (one.important or not found.get(one.lower_name, ([], False))[1]):
                found[one.lower_name] = (value, one.important)
    done = {
        name: (_HIDES[name](value), important)
        for name, (value, important) in found.items()
        if name in _HIDES
    }
    _together(found, done)
    return done


def _together(found: dict[str, tuple[list[Any], bool]], done: Effects) -> None:
    """What a declaration does only beside, or not beside, another."""
    if any(name.startswith("animation") for name in found) and "opacity" in done:
        done["opacity"] = (False, done["opacity"][1])
    # Letters that a picture or a gradient shines through.
    if any(name.endswith(("background-clip", "text-shadow")) for name in found):
        done["color"] = (False, False)
    sizes = [found[name] for name in ("width", "height") if name in found]
    cut = _is(found["overflow"][0], "hidden", "clip") if "overflow" in found else False
    roomy = any(name.startswith(("padding", "min-")) for name in found)
    if sizes or "overflow" in found:
        hides = cut and not roomy and any(_nothing(value) for value, _ in sizes)
        done["size"] = (hides, any(important for _, important in sizes))


def _is(value: list[Any], *words: str) -> bool:
    return bool(value[0].type == "ident" and value[0].lower_value in words)


def _number(token: Any) -> float | None:
    known = token.type in ("number", "percentage", "dimension")
    return float(token.value) if known else None


def _nothing(value: list[Any]) -> bool:
    number = _number(value[0])
    return number is not None and number <= 0


def _away(value: list[Any]) -> bool:
    unit = value[0].lower_unit if value[0].type == "dimension" else ""
    return unit in _FAR_AWAY and float(value[0].value) <= _FAR_AWAY[unit]


def _arguments(value: list[Any], function: str) -> list[Any]:
    if value[0].type != "function" or value[0].lower_name != function:
        return []
    return [t for t in value[0].arguments if t.type not in ("whitespace", "literal", "comment")]


def _clipped(value: list[Any]) -> bool:
    numbers = [_number(token) for token in _arguments(value, "rect")]
    return bool(numbers) and all(number is not None and number <= 1 for number in numbers)


def _inset(value: list[Any]) -> bool:
    given = _arguments(value, "inset")
    return bool(given) and all(t.type == "percentage" and t.value >= 50 for t in given)


_HIDES: dict[str, Callable[[list[Any]], bool]] = {
    "display": lambda value: _is(value, "none"),
    "visibility": lambda value: _is(value, "hidden", "collapse"),
    "content-visibility": lambda value: _is(value, "hidden"),
    "opacity": _nothing,
    "font-size": _nothing,
    "color": lambda value: _is(value, "transparent"),
    "left": _away,
    "right": _away,
    "top": _away,
    "text-indent": _away,
    "clip": _clipped,
    "clip-path": _inset,
}
# What an element in a hidden one can take back for itself.
INHERITED = frozenset(("visibility", "font-size", "color", "text-indent"))
