"""Whether a source carries what a model says it does.

A model may name a source that says nothing of the kind. A citation is dropped when the source lacks
a number of the statement, or has none of its words. Whether the source *means* the same is not
checked: that would need another model.
"""

from __future__ import annotations

import regex  # type: ignore[import-untyped]

from devstack.core.finding.wanted import content_words, wanted
from devstack.core.finding.words import entries
from devstack.core.index import Hit

_NUMBER = regex.compile(r"\d")
_SCRIPTS = ("Latin", "Greek", "Cyrillic", "Arabic", "Hebrew", "Devanagari", "Han", "Hangul", "Thai")
_SCRIPT = {name: regex.compile(rf"\p{{Script={name}}}") for name in _SCRIPTS}


def is_supported(statement: str, hit: Hit) -> bool:
    """Whether the passage has the statement's numbers and at least one of its words.

    A statement in another script than the passage, as in a translated answer, is held to its
    numbers alone.
    """
    known = frozenset(entries("\n".join((*hit.section, hit.filename, hit.text)), hit.language))
    asked = wanted(" ".join(content_words(statement)), (hit.language, "en"))
    numbers = [one for one in asked if _NUMBER.search(one.word)]
    others = [one for one in asked if not _NUMBER.search(one.word)]
    if any(not known.intersection(entry for entry, _ in one.forms) for one in numbers):
        return False
    if not others or numbers or not _share_script(statement, hit.text):
        return True
    return any(known.intersection(entry for entry, _ in one.forms) for one in others)


def _share_script(statement: str, text: str) -> bool:
    return any(script.search(statement) and script.search(text) for script in _SCRIPT.values())
