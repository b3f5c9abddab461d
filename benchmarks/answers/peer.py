"""LlamaIndex as it comes: its own readers, its sentence splitter, its BM25 retriever.

Nothing is set that a newcomer would not set: the readers that ``SimpleDirectoryReader`` chooses by
a file's ending, the splitter's and the retriever's defaults. What it found first is its answer. It
is given its way where it has none: a section counts as named when the heading is anywhere in the
passage, and a passage may be as long as it likes.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers.questions import Question
from benchmarks.answers.score import Given

NEEDED = "pip install llama-index-readers-file docx2txt"


@dataclass(frozen=True, slots=True)
class Peer:
    """LlamaIndex with these files: one retriever over all of them, one over each case."""

    everything: Any
    single: dict[str, Any]

    def ask(self, question: Question) -> Given | None:
        """The first passage, or None when it scores nothing."""
        retriever = self.everything
        if question.is_case:
            retriever = self.single.get(question.source)
        if retriever is None:
            return None
        found = retriever.retrieve(question.question)
        if not found or not found[0].score:
            return None
        text, metadata = found[0].node.get_content(), found[0].node.metadata
        page = metadata.get("page_label")
        number = int(page) if isinstance(page, str) and page.isdigit() else None
        return Given(text, metadata["file_name"], number, (text,))


def available() -> bool:
    """Whether LlamaIndex's own readers are installed."""
    try:
        import docx2txt  # noqa: F401
        import llama_index.readers.file  # noqa: F401
    except ImportError:
        return False
    return True


def build(files: Sequence[Path], questions: Sequence[Question]) -> Peer:
    """Read, split and index; a file that its reader fails on is left out, as a user would see."""
    nodes: dict[str, list[Any]] = {}
    for path in files:
        with contextlib.suppress(Exception):
            nodes[path.name] = _nodes(path)
    cases = {question.source for question in questions if question.is_case}
    everything = [node for name, found in nodes.items() if name not in cases for node in found]
    return Peer(
        _retriever(everything),
        {name: _retriever(nodes[name]) for name in cases if nodes.get(name)},
    )


def _nodes(path: Path) -> list[Any]:
    from llama_index.core import SimpleDirectoryReader
    from llama_index.core.node_parser import SentenceSplitter

    with contextlib.redirect_stdout(io.StringIO()):
        documents = SimpleDirectoryReader(input_files=[path], raise_on_error=True).load_data()
    return SentenceSplitter().get_nodes_from_documents(documents)


def _retriever(nodes: list[Any]) -> Any:
    from llama_index.retrievers.bm25 import BM25Retriever

    logging.getLogger("llama_index").setLevel(logging.ERROR)
    try:
        return BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=min(2, len(nodes)))
    except ValueError:
        return None  # no word that it would index
