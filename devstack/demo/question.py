"""Makes a question for a file whose content we don't know.

The file is read here as the core will read it, in a process under limits. Its most frequent words
make the question, so that the index is certain to have them.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from devstack.core.finding.normal_form import normal
from devstack.core.finding.wanted import content_words
from devstack.core.reading.faults import Unreadable
from devstack.core.reading.sandbox import ReaderDied, read_file

LARGEST_BYTES = 20 * 1024 * 1024
_READ_LIMIT_S = 20.0
_WORDS = 3
_LONG_ENOUGH = 4


async def suggest(path: Path, content_type: str, scratch: Path) -> str:
    """Something to ask about ``path``; ``scratch`` is a folder for the reader's own file."""
    words = prominent(await _texts(path, content_type, scratch / "question.json"))
    return phrase(words or prominent([path.stem.replace("_", " ").replace("-", " ")]))


async def _texts(path: Path, content_type: str, target: Path) -> list[str]:
    if await asyncio.to_thread(os.path.getsize, path) > LARGEST_BYTES:
        return []
    try:
        document = await read_file(path, target, content_type, _READ_LIMIT_S)
    except (Unreadable, ReaderDied):
        # The workflow will find the same fault and report it to the user.
        return []
    return [block.text for block in document.blocks]


def prominent(texts: Iterable[str]) -> list[str]:
    """The most frequent words that carry a meaning, at most three."""
    count = Counter(
        word
        for text in texts
        for word in map(normal, content_words(text))
        if len(word) >= _LONG_ENOUGH and not word.isdigit()
    )
    return [word for word, _ in count.most_common(_WORDS)]


def phrase(words: list[str]) -> str:
    """The question those words make."""
    if not words:
        return "What is this document about?"
    *first, last = words
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"What does the document say about {listed}?"
