"""Answers that a door tells as an event stream of its own: between the relay and the client."""

from __future__ import annotations

from typing import Protocol

from gateway.errors import GatewayError
from gateway.flows.relay import Client


class Shape(Protocol):
    """How a door tells one answer; see ``edge.openai.chunks``. Nothing here waits.

    Attributes:
        begin: what comes first, before the core said anything.
        broken: why nothing more can be told, once that is so.
    """

    begin: bytes
    broken: GatewayError | None

    def told(self, piece: bytes) -> bytes:
        """What the client is told of whole events or comments: whole events, or nothing yet."""

    def usual(self, piece: bytes) -> bytes | None:
        """As ``told``, or ``None``, and nothing has changed, where ``told`` has to decide."""

    def failed(self, error: GatewayError, request_id: str) -> bytes:
        """The last thing a client is told where ``broken`` ended its answer."""


class ToldStream:
    """Implements ``flows.relay.Client``: what ``shape`` makes of an answer goes to ``client``."""

    __slots__ = ("_send", "_shape", "_told", "_usual", "on_room", "stalled")

    send_framed = None

    def __init__(self, client: Client, shape: Shape) -> None:
        self._shape = shape
        self._send = client.send
        self._told, self._usual = shape.told, shape.usual
        self.on_room, self.stalled = client.on_room, client.stalled

    def send(self, data: bytes) -> bool:
        told = self._told(data)
        has_room = self._send(told) if told else True
        if self._shape.broken is not None:
            raise self._shape.broken
        return has_room

    def send_usual(self, data: bytes) -> bool | None:
        told = self._usual(data)
        if told is None:
            return None
        return self._send(told) if told else True
