"""``kb ask`` and ``kb search``."""

from __future__ import annotations

import argparse
import json
import sys

from knowledge_base import AnswerStream, Citation, Done, Event, Passage, Sources, Token, errors
from knowledge_base.cli import account, exits
from knowledge_base.cli.exits import USAGE, Said
from knowledge_base.cli.output import as_json, is_terminal, shown


def question(options: argparse.Namespace) -> str:
    """The words of the command line; ``-``, or nothing in a pipe, is what stdin has."""
    words = " ".join(options.question)
    if words in ("", "-"):
        if not words and is_terminal(sys.stdin):
            raise Said('What do you want to ask? kb ask "…"', USAGE)
        words = _piped()
    if not words:
        raise Said("The question is empty.", USAGE)
    return words


def _piped() -> str:
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError as exc:
        raise Said(f"The question is no text: {exc.reason}.", USAGE) from exc


class Footnotes:
    """Numbers for what is cited, in that order. Passages of one place are one note."""

    def __init__(self) -> None:
        self.sources: list[Passage] = []
        self._numbers: dict[str, int] = {}

    def number(self, citation: Citation) -> int | None:
        """``None`` for one that names no source."""
        if not 0 <= citation.source < len(self.sources):
            return None
        return self._numbers.setdefault(self._place(self.sources[citation.source]), self._next())

    def _next(self) -> int:
        return len(self._numbers) + 1

    def _place(self, source: Passage) -> str:
        """The file's name, and where in it."""
        page = f", p. {source.page}" if source.page is not None else ""
        section = f", {' › '.join(source.section)}" if source.section else ""
        return f"{source.filename}{page}{section}"

    def lines(self) -> list[str]:
        return [f"[{number}] {' '.join(place.split())}" for place, number in self._numbers.items()]


class Printer:
    """Writes an answer as it comes. A citation's number stands where the text is when it comes."""

    def __init__(self, *, notes: bool) -> None:
        self._notes = notes
        self._footnotes = Footnotes()
        self._last = "\n"
        self._length = 0
        self._here: set[int] = set()

    def take(self, event: Event) -> None:
        match event:
            case Token():
                self._here.clear()
                self._length += len(event.text)
                self._write(event.text)
            case Sources():
                self._footnotes.sources.extend(event.passages)
            case Citation() if self._notes:
                self._cite(event)

    def _cite(self, citation: Citation) -> None:
        number = self._footnotes.number(citation)
        if number is not None and number not in self._here and citation.end <= self._length:
            self._here.add(number)
            self._write(f"[{number}]")

    def _write(self, text: str) -> None:
        if text:
            sys.stdout.write(shown(text))
            sys.stdout.flush()
            self._last = text[-1]

    def end(self) -> None:
        """The footnotes, on lines of their own."""
        if self._last != "\n":
            self._write("\n")
        lines = self._footnotes.lines()
        if lines:
            self._write("\n" + "\n".join(lines) + "\n")


def ask(options: argparse.Namespace) -> int:
    text = question(options)
    with account.client(options) as kb:
        stream = kb.ask(text, top_k=options.top_k, document_ids=options.document)
        # Leaving this block, by Ctrl-C too, ends the connection, and with it the core's work.
        with stream:
            return _as_json(stream) if options.json else _as_text(stream, options)


def _as_text(stream: AnswerStream, options: argparse.Namespace) -> int:
    printer = Printer(notes=not options.no_sources)
    try:
        for event in stream:
            printer.take(event)
    finally:
        printer.end()
    return exits.OK


def _as_json(stream: AnswerStream) -> int:
    """One line for each event, the error too: who reads knows whether it was the whole answer."""
    try:
        for event in stream:
            _line(event.name, _data(event))
            if isinstance(event, Done):
                break
    except errors.ApiError as exc:
        about = {"code": exc.code, "message": exc.message, "details": dict(exc.details)}
        _line("error", {"error": about})
        raise
    return exits.OK


def _data(event: Event) -> object:
    """As JSON, if it is some: NaN, which Python takes for a number, is none."""
    try:
        found = json.loads(event.data)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError):
        return event.data
    return found


def _line(name: str, data: object) -> None:
    print(as_json({"event": name, "data": data}), flush=True)


def search(options: argparse.Namespace) -> int:
    text = question(options)
    with account.client(options) as kb:
        found = kb.search(text, top_k=options.top_k, document_ids=options.document)
    for number, passage in enumerate(found, 1):
        if options.json:
            print(as_json(passage))
        elif is_terminal(sys.stdout):
            _for_people(number, passage)
        else:
            fields = (passage.score, passage.document_id, passage.filename, passage.page or "")
            words = " ".join(passage.text.split())
            print("\t".join([*(str(field) for field in fields), words]))
    return exits.OK


def _for_people(number: int, passage: Passage) -> None:
    page = f", p. {passage.page}" if passage.page is not None else ""
    print(
        shown(f"{number}. {passage.filename}{page}  ({passage.score:.2f}, {passage.document_id})")
    )
    print(shown(f"   {' '.join(passage.text.split())}\n"))
