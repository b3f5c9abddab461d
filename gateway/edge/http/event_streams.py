"""Relays an answer to the client as an event stream, and keeps count of open streams."""

from __future__ import annotations

import asyncio
from typing import cast

from sanic import Request
from sanic.exceptions import RequestCancelled

from gateway.domain.sse import CONNECTED
from gateway.edge.http.cache_fields import add_cache_status
from gateway.edge.http.told_streams import Shape, ToldStream
from gateway.edge.observe import access_log
from gateway.edge.observe.request_metrics import count_stream_end
from gateway.edge.scope import Scope, now_s, scope_of
from gateway.edge.wire.client_stream import (
    ClientStream,
    Progress,
    can_write_below,
    cut,
    forget_head,
    has_room,
)
from gateway.edge.wire.protocol import GuardedProtocol
from gateway.edge.wire.response import Response
from gateway.edge.wire.sent_stream import SentStream
from gateway.errors import GatewayError
from gateway.flows.answer_stream import Answer, ignore_failure
from gateway.flows.relay import Client, ClientStalled, Relay
from gateway.flows.ticker import Ticker
from gateway.telemetry.recorder import MetricsRecorder
from gateway.telemetry.stream_metrics import STREAMS_STARTED

# Proxies in between must neither hold back, nor change, nor keep a stream of events.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
# Event streams are UTF-8 by their standard; a client that does not know it takes text for Latin-1.
CONTENT_TYPE = "text/event-stream; charset=utf-8"


class OpenStreams:
    """The answers this worker is relaying: a drain ends them all with one last event.

    Attributes:
        ticker: calls each of their relays a few times a second.
    """

    def __init__(self, *, metrics: MetricsRecorder, client_stall_s: float) -> None:
        self.metrics = metrics
        self._client_stall_s = client_stall_s
        self._answers: set[Answer] = set()
        self._none_left = asyncio.Event()
        self._none_left.set()
        self.ticker = Ticker()
        self._passed = (0, 0)

    def __len__(self) -> int:
        return len(self._answers)

    def passed(self) -> tuple[int, int]:
        """Events passed on and bytes sent, by all streams there were and are."""
        states = [answer.state for answer in self._answers]
        events, sent_bytes = self._passed
        events += sum(state.events for state in states)
        return events, sent_bytes + sum(state.sent_bytes for state in states)

    def stop_all(self, error: GatewayError) -> None:
        for answer in tuple(self._answers):
            answer.stop(error)

    async def wait_until_none(self, timeout_s: float) -> bool:
        """Whether all streams ended within ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._none_left.wait()
        except TimeoutError:
            return False
        return True

    def under_way(self, request: Request, answer: Answer) -> _UnderWay:
        """Counts ``answer`` among the open ones, from before the core is asked to the very end.

        Meanwhile a client that closes its side has left, and the request's handler is cancelled.
        """
        cast(GuardedProtocol, request.protocol).client_must_stay()
        return _UnderWay(self, scope_of(request), answer)

    def counting(self, scope: Scope, answer: Answer) -> _UnderWay:
        """As ``under_way``, where the client's leaving is noticed by somebody else."""
        return _UnderWay(self, scope, answer)

    def add(self, answer: Answer) -> None:
        self._answers.add(answer)
        self._none_left.clear()

    def discard(self, answer: Answer) -> None:
        events, sent_bytes = self._passed
        self._passed = events + answer.state.events, sent_bytes + answer.state.sent_bytes
        self._answers.discard(answer)
        if not self._answers:
            self._none_left.set()

    def gives_at_once(self, request: Request, answer: Answer) -> bool:
        """Whether all of it goes out at once: then nobody has to watch whether it may go on."""
        return answer.is_whole() and has_room(request)

    async def relay(self, request: Request, answer: Answer, shape: Shape | None = None) -> None:
        """Streams ``answer`` to the end: its own, or the client's leaving.

        With a ``shape`` the client is told what that makes of it, and of an answer of which it can
        make nothing the failure.

        Cancellation is the usual sign that the client left; the caller's context closes the core's
        connection on the way out. A client that takes no byte for ``client_stall_s`` is cut off:
        no last event would reach it.
        """
        scope = scope_of(request)
        scope.streamed = True
        progress = Progress(request.protocol, self._client_stall_s)
        try:
            # It may be full of an answer before this one: Sanic would wait there without a clock.
            await progress.room(answer.leave_core_if_over)
            head = Response(headers=HEADERS, content_type=CONTENT_TYPE)
            add_cache_status(head, answer)
            response = await request.respond(head)
            if shape is None and (whole := answer.replay_whole(CONNECTED)) is not None:
                # Its length is known: head and body are one write, and nothing has to be relayed.
                await response.send(whole, True)
                scope.first_byte_s = now_s()
                await progress.room()
                return
            await response.send(CONNECTED if shape is None else CONNECTED + shape.begin)
            forget_head(request, response)
            answer.state.sent_bytes += len(CONNECTED)
            scope.first_byte_s = now_s()
            try:
                if can_write_below(request):
                    # Not in a method of its own: one more coroutine is 240 bytes of each stream.
                    client = ClientStream(progress)
                    try:
                        await Relay(answer, _told(client, shape), self.ticker).run()
                    finally:
                        client.close()
                else:
                    sent = SentStream(response, progress)
                    await _carry(sent, Relay(answer, _told(sent, shape), self.ticker), scope)
            except GatewayError as error:
                if shape is None:
                    raise
                await progress.room()
                await response.send(shape.failed(error, scope.request_id))
            await progress.room()
            await response.eof()
        except ClientStalled:
            left = progress.transport.is_closing()
            scope.stream_end = "client_left" if left else "client_stalled"
            cut(request)
            if scope.first_byte_s is None:
                # Sanic would take a handler that returns without an answer for a faulty one.
                raise RequestCancelled from None
        except asyncio.CancelledError:
            if progress.is_behind:
                # The answer may have ended well; who left before its last bytes has left.
                scope.stream_end = "client_left"
            raise
        except Exception:
            # Sanic would end the body as if it were whole.
            cut(request)
            raise
        finally:
            note(scope, answer)
            access_log.write(request, scope, 200, scope.sent_bytes)


def _told(client: Client, shape: Shape | None) -> Client:
    return client if shape is None else ToldStream(client, shape)


async def _carry(client: SentStream, relay: Relay, scope: Scope) -> None:
    relaying = asyncio.get_running_loop().create_task(relay.run(), name="relay")
    try:
        await client.carry(relaying)
    finally:
        if client.is_behind:
            # The answer may have ended well; who left before its last piece has left.
            scope.stream_end = "client_left"
        relaying.cancel()
        ignore_failure(relaying)
        await asyncio.wait([relaying])


def note(scope: Scope, answer: Answer) -> None:
    """What the log says of an answer that is over for its client."""
    scope.sent_bytes = answer.state.sent_bytes
    scope.events = answer.state.events
    scope.first_event_s = answer.state.first_event_s
    scope.error = answer.error
    scope.auth_reason = getattr(answer.error, "reason", None)
    scope.stream_end = scope.stream_end or (answer.end.outcome if answer.end else "client_left")


class _UnderWay:
    """What ``with streams.under_way(…)`` holds; a generator would take five times as much."""

    __slots__ = ("_answer", "_scope", "_streams")

    def __init__(self, streams: OpenStreams, scope: Scope, answer: Answer) -> None:
        self._streams = streams
        self._scope = scope
        self._answer = answer

    def __enter__(self) -> None:
        self._streams.metrics.add(STREAMS_STARTED, (self._scope.door,))
        self._streams.add(self._answer)

    def __exit__(self, *_: object) -> None:
        self._streams.discard(self._answer)
        self._scope.give_back()
        if self._scope.meter is not None:
            self._scope.meter(self._scope.caller, self._answer)
        end = self._answer.end
        if end is not None:
            self._scope.stream_end = self._scope.stream_end or end.outcome
            lasted_s = asyncio.get_running_loop().time() - self._answer.state.started
            count_stream_end(self._streams.metrics, self._scope, end, lasted_s)
