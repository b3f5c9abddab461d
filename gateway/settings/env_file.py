"""Files of ``NAME=value`` lines, such as ``.env``.

A shell (``. ./.env``), Compose and ``docker run --env-file`` read such files too, each by rules of
its own. What they could take for different values is a fault here, and ``line`` writes what they
all read alike wherever the value allows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gateway.settings.faults import Fault

# A word that no shell splits, expands or takes for the beginning of a comment.
_BARE = r"(?P<bare>(?![#~])[^\s'\"\\$`;&|<>()]*)"
_SINGLE = r"'(?P<single>[^']*)'"
# Behind a backslash these four stand for themselves; a bare `$` or "`" would be expanded.
_DOUBLE = r'"(?P<double>(?:[^"\\$`]|\\["\\$`])*)"'
_LINE = re.compile(
    rf"(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?:{_SINGLE}|{_DOUBLE}|{_BARE})"
    r"(?:[ \t]+#.*|[ \t]*)\Z"
)
_ESCAPED = re.compile(r'\\(["\\$`])')
_EXPECTED = "NAME=value, in single quotes where the value is not one plain word"


def read_env_file(path: Path) -> tuple[dict[str, str], list[Fault]]:
    """What the file says by name, the last line of a name counting, and what is wrong with it.

    No fault shows a line's text: it may be a secret.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return {}, [Fault(str(path), None, "a file in UTF-8")]
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "not a path"
        return {}, [Fault(str(path), None, f"a readable file ({reason})")]
    faults: list[Fault] = []
    return dict(_pairs(path, text, faults)), faults


def _pairs(path: Path, text: str, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    # Only these end a line: `splitlines` would also end one at U+2028, inside a value.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.match(line.strip(" \t"))
        if found is None:
            faults.append(Fault(f"{path}, line {number}", None, _EXPECTED))
        else:
            yield found["name"], _value(found)


def _value(found: re.Match[str]) -> str:
    if found["double"] is not None:
        return _ESCAPED.sub(r"\1", found["double"])
    return found["single"] if found["single"] is not None else found["bare"]


def line(name: str, value: str) -> str:
    """The line that says so, without its end.

    Raises:
        ValueError: the value has a line's end in it, which such a file cannot say.
    """
    if "\n" in value or "\r" in value:
        raise ValueError(f"{name}: a value on one line is expected")
    if re.fullmatch(_BARE, value):
        return f"{name}={value}"
    if "'" not in value:
        return f"{name}='{value}'"
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'{name}="{escaped}"'
