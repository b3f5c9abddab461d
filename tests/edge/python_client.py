"""The Python client as a client of the doors ``sse`` and ``json``, for ``conformance/``.

``PY_CLIENTS`` has the ways to use it: without a loop and with asyncio, streamed and whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from knowledge_base import (
    Answer,
    AsyncKnowledgeBase,
    Done,
    KnowledgeBase,
    Retries,
    Timeouts,
    errors,
)

from .doors import Credential, Door, Progress, Told
from .raw import TIMEOUT_S, Where

LIMITS: Mapping[str, Any] = {
    # A refusal is what a case is about, and no reason to come again.
    "retries": Retries(times=0),
    "timeouts": Timeouts(head=TIMEOUT_S, idle=TIMEOUT_S),
    # Nothing is encrypted here, and reading all certificates takes longer than an answer.
    "verify": False,
}


def base_url(where: Where) -> str:
    return f"http://{where.address[0]}:{where.address[1]}"


def token_of(credential: Credential) -> str:
    return credential["Authorization"].removeprefix("Bearer ")


def failed(told: Told, error: errors.KnowledgeBaseError) -> Told:
    """How the answer ended, by the exception; ``None`` where the connection just broke off."""
    if isinstance(error, errors.ApiError):
        told.ends, told.status, told.retry_after_s = error.code, error.status, _whole(error)
        assert type(error) is errors.BY_CODE[error.code]
        assert error.request_id
        told.error = {"code": error.code, "message": error.message, "details": error.details}
    else:
        assert type(error) is errors.AnswerIncomplete, repr(error)
    return told


def _whole(error: errors.ApiError) -> int | None:
    return None if error.retry_after is None else int(error.retry_after)


class PythonClient(Door):
    """``leaves_after`` so many events its user has had enough."""

    leaves_after: int | None = None

    def has_enough(self, told: Told) -> bool:
        return self.leaves_after is not None and len(told.events) >= self.leaves_after


class _Streamed(PythonClient):
    name = "sse"

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected.get("early"):
            assert told.status == expected["status"], where
            return
        assert told.events == [tuple(event) for event in expected["events"]], where

    def take(self, told: Told, event: Any, progress: Progress) -> None:
        told.events.append((event.name, event.data))
        told.ends = "done" if isinstance(event, Done) else None
        progress.events = len(told.events)


class SyncStream(_Streamed):
    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        return await asyncio.to_thread(self._ask, where, credential, progress, query)

    def _ask(self, where: Where, credential: Credential, progress: Progress, query: str) -> Told:
        told = Told()
        with KnowledgeBase(base_url(where), token=token_of(credential), **LIMITS) as kb:
            try:
                with kb.ask(query) as answer:
                    progress.has_head = True
                    for event in answer:
                        self.take(told, event, progress)
                        if self.has_enough(told):
                            break
            except errors.KnowledgeBaseError as exc:
                return failed(told, exc)
        return told


class AsyncStream(_Streamed):
    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        told = Told()
        async with AsyncKnowledgeBase(base_url(where), token=token_of(credential), **LIMITS) as kb:
            try:
                async with kb.ask(query) as answer:
                    progress.has_head = True
                    async for event in answer:
                        self.take(told, event, progress)
                        if self.has_enough(told):
                            break
            except errors.KnowledgeBaseError as exc:
                return failed(told, exc)
        return told


class _Whole(PythonClient):
    name = "json"
    blind = True

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected["ends"] == "done":
            assert told.answer == expected["answer"], where
        elif expected["ends"] is not None:
            assert told.status == expected["status"], where


class SyncWhole(_Whole):
    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        progress.blind = progress.has_head = True
        return await asyncio.to_thread(self._ask, where, credential, query)

    def _ask(self, where: Where, credential: Credential, query: str) -> Told:
        with KnowledgeBase(base_url(where), token=token_of(credential), **LIMITS) as kb:
            try:
                return Told(ends="done", answer=_document(kb.ask(query, stream=False)))
            except errors.KnowledgeBaseError as exc:
                return failed(Told(), exc)


class AsyncWhole(_Whole):
    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        progress.blind = progress.has_head = True
        async with AsyncKnowledgeBase(base_url(where), token=token_of(credential), **LIMITS) as kb:
            asking = asyncio.ensure_future(kb.ask(query, stream=False))  # type: ignore[arg-type]
            progress.leave = asking.cancel
            try:
                return Told(ends="done", answer=_document(await asking))
            except errors.KnowledgeBaseError as exc:
                return failed(Told(), exc)
            except asyncio.CancelledError:
                return Told()


def _document(answer: Answer) -> dict[str, Any]:
    """The value as its JSON was: without what stands for a field that was not sent."""
    found = asdict(answer)
    found["answer"] = found.pop("text")
    for citation in found["citations"]:
        del citation["name"], citation["data"]
    if found["usage"] is not None:
        del found["usage"]["name"], found["usage"]["data"]
    found["sources"] = [
        {name: value for name, value in source.items() if value not in (None, (), False)}
        for source in found["sources"]
    ]
    for source in found["sources"]:
        if "section" in source:
            source["section"] = list(source["section"])
    return {**found, "citations": list(found["citations"])}


PY_CLIENTS: Mapping[str, PythonClient] = {
    "sync stream": SyncStream(),
    "async stream": AsyncStream(),
    "sync whole": SyncWhole(),
    "async whole": AsyncWhole(),
}
