"""A core's answer under way, between the transport and whoever takes its bytes; its head."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from gateway.adapters.core_adapter import revision_in, whole_seconds
from gateway.adapters.core_calls import Answered, end_lease
from gateway.domain.balancing import Outcome
from gateway.domain.plain_events import Framing
from gateway.domain.stream import CoreReset
from gateway.errors import CoreTruncated
from gateway.http_client.transport import Body
from gateway.ports import CoreSink


class HttpCoreStream:
    """Implements ``ports.CoreStream``: owns the answer and closes it on every way out.

    It stands between the transport and the sink: bytes go straight through, failures in our words.
    """

    __slots__ = ("_body", "_lease", "_sink", "received")

    def __init__(self, answered: Answered[Body]) -> None:
        self._body = answered.body
        self._lease = answered.lease
        self._sink: CoreSink | None = None

    @property
    def revision(self) -> str | None:
        """Of the documents that it is made of, where the core says so; before ``attach`` only."""
        return revision_in(self._body)

    def attach(self, sink: CoreSink) -> None:
        self._sink = sink
        self.received = sink.received
        self._body.attach(self)

    # --- what the transport calls; ``received`` is the sink's own -------------------------------

    def framed_taker(
        self, parse: Callable[[bytes], None], framing: Framing
    ) -> Callable[[bytes], None]:
        assert self._sink is not None
        return self._sink.framed_taker(parse, framing)

    def ended(self, error: httpx.TransportError | None) -> None:
        end_lease(self._lease, Outcome.GOOD if error is None else Outcome.FAILED)
        if self._sink is not None:
            self._sink.ended(None if error is None else _broken(error))

    def pause(self) -> None:
        self._body.pause()

    def resume(self) -> None:
        self._body.resume()

    async def aclose(self) -> None:
        self._body.close()
        self._lease.abandon()


def retry_after_s(answer: Body) -> int | None:
    """A core's ``Retry-After`` in whole seconds, kept between 1 s and 5 min; else our default."""
    return whole_seconds(answer.header(b"retry-after") or "")


def _broken(error: httpx.TransportError) -> CoreTruncated:
    ours = CoreTruncated() if isinstance(error, httpx.RemoteProtocolError) else CoreReset()
    ours.__cause__ = error
    return ours
