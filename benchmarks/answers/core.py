"""The reference core's answers, in this process: its readers, its index, its writer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.answers.questions import Question
from benchmarks.answers.score import Given
from devstack.core.chunking import split
from devstack.core.documents import Announced, Owner
from devstack.core.index import IndexBuilder, IndexReader
from devstack.core.query import ExtractiveWriter, Questions, parse_question
from devstack.core.reading.faults import Unreadable
from devstack.core.reading.formats import DOCX, HTML, MARKDOWN, PDF, TEXT, read_document
from devstack.core.registry import Registry

OWNER = Owner("benchmark", "reader")
TYPES = {".pdf": PDF, ".docx": DOCX, ".html": HTML, ".md": MARKDOWN, ".txt": TEXT}


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: what it cites first, all of its text, and how long finding and writing took."""

    given: Given | None
    text: str
    seconds: float


class Core:
    """A core with these files indexed."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._registry = Registry(folder)
        self._ids: dict[str, str] = {}
        self.unreadable: dict[str, str] = {}
        builder = IndexBuilder(self._registry, folder / "index")
        for number, path in enumerate(files):
            self._add(number, path)
        builder.refresh(OWNER)
        for document_id in self._ids.values():
            self._registry.mark_indexed(OWNER, document_id, "0" * 64)
        reader = IndexReader(self._registry, folder / "index")
        threads = ThreadPoolExecutor(1)
        self._questions = Questions(self._registry, reader, ExtractiveWriter(), threads)

    def close(self) -> None:
        """Close what is open."""
        self._registry.close()

    def _add(self, number: int, path: Path) -> None:
        document_id = f"00000000-0000-7000-8000-{number:012x}"
        content_type = TYPES[path.suffix]
        size = path.stat().st_size
        announced = Announced(OWNER, document_id, path.name, content_type, size, None, None, None)
        try:
            document = read_document(path, content_type)
        except Unreadable as fault:
            self.unreadable[path.name] = str(fault)
            return
        self._registry.begin(announced, datetime.now(UTC))
        chunks = split(document_id, document, threading.Event())
        self._registry.put_chunks(OWNER, document_id, chunks)
        self._ids[path.name] = document_id

    def ask(self, question: Question) -> Answered:
        """The answer to a question, over all files or, for a case, within its own."""
        body: dict[str, Any] = {"query": question.question}
        if question.is_case:
            body["document_ids"] = [self._ids[question.source]]
        return asyncio.run(self._ask(body))

    async def _ask(self, body: dict[str, Any]) -> Answered:
        begun = time.perf_counter()
        asked = parse_question(body)
        events = [event async for event in self._questions.answer(OWNER, asked)]
        seconds = time.perf_counter() - begun
        sources = next(event.data for event in events if event.name == "sources")
        text = "".join(event.data["text"] for event in events if event.name == "token")
        citations = [event.data for event in events if event.name == "citation"]
        if not citations:
            return Answered(None, text, seconds)
        first = citations[0]
        source = sources[first["source"]]
        given = Given(
            text[first["start"] : first["end"]],
            source["filename"],
            source.get("page"),
            tuple(source.get("section", ())),
        )
        return Answered(given, text, seconds)
