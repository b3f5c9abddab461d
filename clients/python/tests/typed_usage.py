"""What a program that uses the package looks like to mypy; it is checked, and never run."""

from __future__ import annotations

from typing import assert_type

from knowledge_base import (
    Answer,
    AnswerStream,
    AsyncAnswerStream,
    AsyncKnowledgeBase,
    Document,
    Event,
    Key,
    KnowledgeBase,
    Passage,
    Token,
    Uploaded,
    UsageReport,
)


def sync(kb: KnowledgeBase) -> None:
    assert_type(kb.ask("tea?"), AnswerStream)
    assert_type(kb.ask("tea?", stream=False), Answer)
    for event in kb.ask("tea?"):
        assert_type(event, Event)
        match event:
            case Token(text=text):
                assert_type(text, str)
    assert_type(kb.documents.upload("a.pdf"), Uploaded)
    for document in kb.documents.list():
        assert_type(document, Document)
    assert_type(kb.keys.list(), tuple[Key, ...])


async def asynchronous(kb: AsyncKnowledgeBase) -> None:
    assert_type(kb.ask("tea?"), AsyncAnswerStream)
    assert_type(await kb.ask("tea?", stream=False), Answer)
    async for event in kb.ask("tea?"):
        assert_type(event, Event)
    async for document in kb.documents.watch("id"):
        assert_type(document, Document)
    assert_type(await kb.search("tea?"), tuple[Passage, ...])
    assert_type(await kb.usage(), UsageReport)
