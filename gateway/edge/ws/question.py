"""One question on a socket: the client of the relay for its answer, and what is told of its end."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import structlog
from sanic import Request

from gateway.domain.error_shape import error_body
from gateway.domain.event_messages import EventMessages
from gateway.edge.http.event_streams import note
from gateway.edge.observe import access_log
from gateway.edge.observe.sentry import report
from gateway.edge.scope import Scope, now_s, scope_of
from gateway.edge.wire.client_stream import WrittenBelow
from gateway.edge.ws.connection import Connection
from gateway.edge.ws.messages import Ask, BadAsk
from gateway.errors import CoreProtocolError, GatewayError, InternalError
from gateway.flows.answer_stream import Answer
from gateway.flows.relay import ClientStalled, Relay
from gateway.flows.ticker import Ticker

log = structlog.get_logger("gateway.errors")


class MessageClient(WrittenBelow):
    """Implements ``flows.relay.Client``: events become messages, all of one piece one write."""

    __slots__ = ("_frames", "_messages", "_send", "_usual")

    send_framed = None

    def __init__(self, connection: Connection, messages: EventMessages) -> None:
        super().__init__(connection.progress)
        self._messages = messages
        self._frames, self._usual = messages.frames, messages.usual
        self._send = connection.send

    def send(self, data: bytes) -> bool:
        frames = self._frames(data)
        has_room = self._send(frames) if frames else True
        if self._messages.broken:
            raise CoreProtocolError
        return has_room

    def send_usual(self, data: bytes) -> bool | None:
        frames = self._usual(data)
        return None if frames is None else self._send(frames)

    def mute(self) -> None:
        """The socket is closed: what the core still sends until it is left goes nowhere."""
        self._send = _dropped


def _dropped(_: bytes) -> bool:
    return True


class Question:
    """A question under way.

    Attributes:
        ask: as the client put it, or what is wrong with it.
        request: what stands for it in the pipeline.
        cancelled: the client wants no more of it.
        begun: its answer is under way.
    """

    __slots__ = (
        "_answer",
        "_client",
        "_connection",
        "_is_told",
        "_messages",
        "ask",
        "begun",
        "cancelled",
        "request",
    )

    def __init__(self, ask: Ask | BadAsk, request: Request, connection: Connection) -> None:
        self.ask = ask
        self.request = request
        self.cancelled = self.begun = self._is_told = False
        self._connection = connection
        self._messages = EventMessages(msgspec.json.encode(ask.id))
        self._client: MessageClient | None = None
        self._answer: Answer | None = None

    @property
    def is_over(self) -> bool:
        """Whether its last message was told: from then on the client may use its id again."""
        answer = self._answer
        return self._is_told or (answer is not None and answer.end is not None)

    @property
    def scope(self) -> Scope:
        return scope_of(self.request)

    async def relay(self, answer: Answer, ticker: Ticker) -> None:
        """Sends the events of an entered answer, to its end.

        Raises:
            ClientStalled: the client takes nothing of what is sent to it.
            CoreProtocolError: an event's data is not JSON.
        """
        self._client = client = MessageClient(self._connection, self._messages)
        self._answer = answer
        self.begun, self.scope.first_byte_s = True, now_s()
        try:
            await Relay(answer, client, ticker).run()
            self._is_told = True
        finally:
            client.close()
            note(self.scope, answer)

    def tell(self, event: str, value: Any) -> None:
        """The last message about it, unless the stream's own was one."""
        if not self._is_told:
            self._is_told = True
            self._connection.send(self._messages.message(event, msgspec.json.encode(value)))

    def mute(self) -> None:
        """Nothing can be told any more."""
        self._is_told = True
        if self._client is not None:
            self._client.mute()

    def over(self, task: asyncio.Task[None]) -> None:
        """Tells the client and the log what its task came to."""
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, ClientStalled):
            self.scope.stream_end = "client_stalled"
            self._connection.abort("client_stalled")
        elif failure is not None:
            self.refuse(self._as_ours(failure))
        elif self.cancelled:
            self.tell("cancelled", {})
        self._log(408 if task.cancelled() else 200)

    def refuse(self, error: GatewayError) -> None:
        scope = self.scope
        scope.error, scope.auth_reason = error, getattr(error, "reason", None)
        body = error_body(error, scope.request_id)
        if error.retry_after_s is not None:
            # There is no header here to say it.
            body["error"]["details"]["retry_after_s"] = error.retry_after_s
        self.tell("error", body)

    def refuse_at_once(self, error: GatewayError) -> None:
        """Refuses what was never asked about."""
        self.refuse(error)
        self._log(error.status)

    def _log(self, status: int) -> None:
        """With the status that HTTP would have had."""
        scope = self.scope
        if self.begun:
            status = 200
        elif scope.error is not None:
            status = scope.error.status
        access_log.write(self.request, scope, status, scope.sent_bytes)

    def _as_ours(self, failure: BaseException) -> GatewayError:
        if isinstance(failure, GatewayError):
            return failure
        log.error("internal error", request_id=self.scope.request_id, exc_info=failure)
        report(failure, self.scope.request_id)
        return InternalError()
