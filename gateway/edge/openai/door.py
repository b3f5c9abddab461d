"""What the handlers of this door are provided with: answers in its shape, streamed or whole."""

from __future__ import annotations

from typing import NamedTuple

from sanic import Request

from gateway.edge.http.endpoint import version_of
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.openai.answer import ChatAnswer
from gateway.edge.openai.chunks import ChatChunks
from gateway.edge.openai.completion import ChatCompletion, WholeAnswer
from gateway.edge.scope import scope_of
from gateway.flows.answer_stream import Answer
from gateway.flows.json_answer import read_whole
from gateway.ports import Clock


class Wish(NamedTuple):
    """How a client wants its answer: with footnotes, with ``usage`` in a stream.

    ``footnotes`` is ``None`` where it does not say.
    """

    footnotes: bool | None
    usage: bool


class ChatDoor:
    """One per worker.

    Args:
        public_url: the gateway's address as clients know it; empty where links have a path alone.
        footnotes: whether clients get them that do not say.
        limit_bytes: the largest answer that is collected, and the most that is kept of a stream.
    """

    def __init__(self, clock: Clock, *, public_url: str, footnotes: bool, limit_bytes: int) -> None:
        self._clock = clock
        self._footnotes = footnotes
        self._public_url = public_url
        self._limit_bytes = limit_bytes

    async def stream(
        self, request: Request, streams: OpenStreams, answer: Answer, wish: Wish
    ) -> None:
        """Relays an entered answer, as ``OpenStreams.relay`` does."""
        chunks = ChatChunks(
            self._telling(request, wish, streamed=True),
            _completion_id(request),
            created=self._now_s(),
            include_usage=wish.usage,
        )
        await streams.relay(request, answer, chunks)

    async def whole(
        self, request: Request, streams: OpenStreams, answer: Answer, wish: Wish
    ) -> ChatCompletion:
        """An entered answer, read to its end; raises what ``read_whole`` does."""
        whole = WholeAnswer(self._telling(request, wish, streamed=False))
        created = self._now_s()
        await read_whole(answer, streams.ticker, whole.take, limit_bytes=self._limit_bytes)
        return whole.completion(_completion_id(request), created)

    def _telling(self, request: Request, wish: Wish, *, streamed: bool) -> ChatAnswer:
        return ChatAnswer(
            documents_url=f"{self._public_url}{version_of(request).prefix}/documents",
            footnotes=self._footnotes if wish.footnotes is None else wish.footnotes,
            streamed=streamed,
            limit_bytes=self._limit_bytes,
        )

    def _now_s(self) -> int:
        return int(self._clock.time())


def _completion_id(request: Request) -> str:
    """The request's own id in it: what a client reports is found in the log."""
    return f"chatcmpl-{scope_of(request).request_id}"
