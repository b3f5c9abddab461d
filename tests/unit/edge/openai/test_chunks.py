"""What OpenAI's clients are told, event by event: text, annotations and footnotes, and when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.domain.sse import PING
from gateway.edge.openai.answer import ChatAnswer
from gateway.edge.openai.chunks import ChatChunks

ID = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"


def event(name: str, value: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


def source(filename: str = "f.md", **more: Any) -> dict[str, Any]:
    passage = {"document_id": ID, "filename": filename, "chunk_id": "c", "score": 1, "text": "t"}
    return {**passage, **more}


def token(text: str) -> bytes:
    return event("token", {"text": text})


def citation(number: int, start: int, end: int) -> bytes:
    return event("citation", {"source": number, "start": start, "end": end})


DONE = event("done", {"finish_reason": "stop"})


def chunks(*, footnotes: bool = False, limit_bytes: int = 1 << 20, usage: bool = False) -> Any:
    answer = ChatAnswer(
        documents_url="/d", footnotes=footnotes, streamed=True, limit_bytes=limit_bytes
    )
    return ChatChunks(answer, "chatcmpl-1", created=5, include_usage=usage)


def parsed(told: bytes) -> list[Any]:
    lines = [line for line in told.decode().split("\n\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def text_of(told: list[Any]) -> str:
    deltas = [one["choices"][0]["delta"] for one in told]
    return "".join(delta.get("content", "") for delta in deltas)


def annotations(told: list[Any]) -> list[tuple[int, int]]:
    found = [
        one["url_citation"]
        for chunk in told
        for one in chunk["choices"][0]["delta"].get("annotations", ())
    ]
    return [(one["start_index"], one["end_index"]) for one in found]


def all_told(*events: bytes, footnotes: bool = False) -> list[Any]:
    telling = chunks(footnotes=footnotes)
    told = b"".join(telling.told(one) for one in events)
    assert telling.broken is None
    return parsed(told)


@pytest.mark.parametrize("together", [True, False])
def test_a_citation_waits_for_its_passage_and_its_text(together: bool) -> None:
    """No client needs to know in which order a core says things."""
    events = [citation(1, 0, 5), token("Two "), event("sources", [source(), source("g.md")])]
    events += [token("years"), DONE]
    told = all_told(b"".join(events)) if together else all_told(*events)
    assert annotations(told) == [(0, 5)]
    at = [bool(one["choices"][0]["delta"].get("annotations")) for one in told].index(True)
    assert text_of(told[:at]) == "Two years"
    assert [one["number"] for one in told[-1]["citations"]] == [2]


def test_footnotes_stand_before_blanks_and_move_what_follows() -> None:
    """The mark belongs to what it is behind; positions are those in the client's text."""
    told = all_told(
        event("sources", [source(page=2), source("g.md", section=["A", "B"])]),
        *(token("Two years.\n"), citation(0, 0, 10), token(" For "), token("all ")),
        *(citation(1, 12, 19), citation(0, 12, 19), DONE),
        footnotes=True,
    )
    text = text_of(told)
    assert text == (
        "Two years. [1]\n For all [2] [1]\n\n- [1] `f.md`, page 2\n- [2] `g.md`, `A › B`"
    )
    assert [text[start:end] for start, end in annotations(told)] == [
        "Two years.",
        "For all",
        "For all",
    ]


def test_a_mark_of_the_models_own_is_not_made_twice() -> None:
    """A core's numbers are its sources' from 1, as ours are."""
    told = all_told(
        event("sources", [source(), source()]),
        *(token("Two years [1]"), citation(0, 0, 9), token("[2]."), citation(1, 0, 9), DONE),
        footnotes=True,
    )
    assert text_of(told).split("\n")[0] == "Two years [1][2]."


def test_without_citations_there_are_no_footnotes() -> None:
    """And what an answer ends with stays."""
    assert text_of(all_told(token("Two years. \n"), DONE, footnotes=True)) == "Two years. \n"


@pytest.mark.parametrize(
    "name", ["a`b.md", "![x](http://e/y.png)", "a\nb\u2028c.md", "exe\u202etxt.md", "<img src=x>"]
)
def test_a_files_name_puts_no_markdown_into_a_chat(name: str) -> None:
    """Nor a line: in a footnote it is a literal, in an annotation a title of one line."""
    told = all_told(
        event("sources", [source(name)]), token("x"), citation(0, 0, 1), DONE, footnotes=True
    )
    footnote = text_of(told).split("\n\n", 1)[1]
    assert footnote.startswith("- [1] `")
    assert footnote.count("`") == 2
    assert footnote.endswith("`")
    assert len(footnote.splitlines()) == 1


def test_annotations_show_the_beginning_of_a_passage_once_each() -> None:
    """A core that cites one long passage often does not make its answer much longer."""
    events = [event("sources", [source(text="x" * 50_000)]), token("abc")]
    telling = chunks()
    told = b"".join(telling.told(one) for one in events)
    told += b"".join(telling.told(citation(0, 0, 3)) for _ in range(100))
    assert len(told) < 100_000
    last = parsed(telling.told(DONE))[-1]
    assert len(last["citations"][0]["text"]) == 50_000
    assert len(last["citations"][0]["spans"]) == 100


def test_what_is_kept_of_a_stream_is_limited() -> None:
    """Its passages and citations; its text is not kept."""
    telling = chunks(limit_bytes=1000)
    telling.told(event("sources", [source()]))
    for _ in range(100):
        telling.told(token("x" * 100))
    assert telling.broken is None
    for _ in range(30):
        telling.told(citation(0, 0, 1))
    assert telling.broken is not None


def test_a_piece_that_says_nothing_here_is_a_comment() -> None:
    """A client, and what stands in between, see that the answer is alive."""
    telling = chunks()
    for piece in (b": beat\n\n", event("meta", {"query_id": "q", "model": "m"}), event("later", 1)):
        assert telling.told(piece) == PING
    assert telling.usual(b"") == PING


def test_tokens_are_told_alike_whichever_way_they_are_read() -> None:
    """By the pattern or by the parser; a piece that is not usual changes nothing."""
    quick, slow = chunks(), chunks()
    for text in ("a", 'b"\\', "ü\u2028\u0085😀", ""):
        assert quick.usual(token(text)) == slow.told(b": x\n\n" + token(text))
    assert quick.usual(token("a") + DONE) is None
    assert quick.usual(token("a") + event("token", {"text": 5})) is None
    assert quick.usual(token("a") + token("b")) == slow.told(token("a") + token("b"))


def test_no_letter_ends_a_line_for_readers_that_know_more_of_them() -> None:
    """As the reference core does: U+0085, U+2028 and U+2029 are escaped."""
    told = chunks().told(token("a\u0085b\u2028c\u2029d"))
    assert len(told.decode().splitlines()) == 2
    assert text_of(parsed(told)) == "a\u0085b\u2028c\u2029d"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        *((reason, reason) for reason in ("stop", "length", "content_filter")),
        *((reason, "stop") for reason in ("no_sources", "tool_calls", "")),
    ],
)
def test_a_reason_that_openai_does_not_have_is_stop(said: str, told: str) -> None:
    (last,) = all_told(event("done", {"finish_reason": said}))
    assert last["choices"][0]["finish_reason"] == told
