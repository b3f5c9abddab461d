"""Citations as OpenAI's clients know them: annotations of the text, the passages, and footnotes.

A core's positions count the code points of its own text. Footnotes are put into it for clients that
show nothing but text, so from there on a client's positions are others than the core's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import msgspec

from gateway.domain.core_records import Passage
from gateway.domain.documents import download_name
from gateway.flows.json_answer import Source

# An annotation shows so much of its passage; the whole of it stands once, in ``citations``.
SHOWN_CHARS = 200
# As long as what a model writes between a statement and its own mark for it.
_TAIL_CHARS = 128


class UrlCitation(msgspec.Struct, frozen=True):
    """Code points ``start_index`` up to ``end_index`` of the text are from the file ``title``.

    ``url`` leads to the file, ``text`` is the beginning of the passage.
    """

    start_index: int
    end_index: int
    title: str
    url: str
    text: str


class Annotation(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="url_citation"
):
    """An annotation of a message; ``index`` numbers those of a stream."""

    url_citation: UrlCitation
    index: int | None = None


class Span(msgspec.Struct, frozen=True):
    """Code points ``start`` up to ``end`` of the message's text."""

    start: int
    end: int


class CitedPassage(Passage, frozen=True, omit_defaults=True, kw_only=True):
    """A passage that was cited: ``number`` is its footnote's, ``spans`` what it carries."""

    number: int
    url: str
    spans: list[Span]


def cited(source: Source, number: int, documents_url: str) -> CitedPassage:
    fields = {name: getattr(source, name) for name in source.__struct_fields__}
    return CitedPassage(**fields, number=number, url=_url(source, documents_url), spans=[])


def annotation(passage: CitedPassage, span: Span, index: int | None) -> Annotation:
    told = UrlCitation(
        start_index=span.start,
        end_index=span.end,
        title=download_name(passage.filename),
        url=passage.url,
        text=passage.text[:SHOWN_CHARS],
    )
    return Annotation(told, index)


def _url(source: Source, documents_url: str) -> str:
    page = "" if source.page is None else f"#page={source.page}"
    return f"{documents_url}/{source.document_id}/content{page}"


class Footnotes:
    """Puts ``[n]`` behind what a passage carries, and says where the core's positions are now.

    The blanks and line ends that a text ends with wait for what follows: the mark belongs before
    them. A mark that the core's own text has there already is not made twice.
    """

    __slots__ = ("_blanks", "_chars", "_marks_at", "_shifts", "_tail")

    def __init__(self) -> None:
        self._blanks = ""
        self._tail = ""
        self._chars = 0
        # Where marks stand in the core's text, and by how much what follows each is moved.
        self._marks_at: list[int] = []
        self._shifts = [0]

    def text(self, text: str) -> str:
        """What may be told of ``text`` and what waited."""
        text = self._blanks + text
        told = text.rstrip()
        self._blanks = text[len(told) :]
        self._chars += len(told)
        self._tail = (self._tail + told)[-_TAIL_CHARS:]
        return told

    def span(self, start: int, end: int) -> Span:
        """Where the core's characters ``start`` up to ``end`` are in the client's text."""
        end = min(end, self._chars)
        start = min(start, end)
        return Span(
            start + self._shifts[bisect_right(self._marks_at, start)],
            end + self._shifts[bisect_left(self._marks_at, end)],
        )

    def mark(self, number: int, span: Span) -> str:
        """The mark of a passage behind what it carries, to be told now."""
        since = self._chars + self._shifts[-1] - span.end
        mark = f" [{number}]"
        if since and mark.strip() in self._tail[-since:]:
            return ""
        self._marks_at.append(self._chars)
        self._shifts.append(self._shifts[-1] + len(mark))
        self._tail = (self._tail + mark)[-_TAIL_CHARS:]
        return mark

    def rest(self, passages: Iterable[CitedPassage]) -> str:
        """What the text ends with: a line for each passage."""
        lines = [f"- [{one.number}] {_place(one)}" for one in passages]
        return "\n\n" + "\n".join(lines) if lines else self._blanks


def _place(passage: CitedPassage) -> str:
    page = () if passage.page is None else (f"page {passage.page}",)
    section = (_literally(" › ".join(passage.section)),) if passage.section else ()
    return ", ".join((_literally(download_name(passage.filename)), *page, *section))


def _literally(text: str) -> str:
    """As it is, where Markdown is shown: who names a file must not put an image into a chat."""
    plain = " ".join(text.split()).replace("`", "'")
    return f"`{plain}`"
