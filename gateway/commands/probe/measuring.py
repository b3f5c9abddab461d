"""The probe's three looks at a gateway: events in time, a silence, and a leave.

What is found is told as ``Measured``, which ``faults.py`` makes findings of. A look that could not
be taken says so there; no finding is made of what was not seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from gateway.commands.probe.wire import Answer, Place, Unreachable, asking
from gateway.domain.sse import SseParser
from gateway.domain.versions import VERSIONS
from gateway.errors import EventTooLarge

PATH = f"{VERSIONS[-1].prefix}/probe"
EVENTS, INTERVAL_MS = 20, 100
TIMEOUT_S = 30.0
# How long the first event is waited for before the stream is left without it.
BEFORE_LEAVE_S = 1.0
# How long the gateway may take to see that its client left, and how often it is asked.
LEAVE_S, ASK_AGAIN_S = 5.0, 0.5

# Sent along, to see which arrive: what clients of the API may have to say.
SENT_HEADERS: Mapping[str, str] = {
    "Accept": "text/event-stream",
    "Accept-Encoding": "gzip, deflate, br",
    "Idempotency-Key": "probe",
    "If-None-Match": '"probe"',
    "Last-Event-ID": "probe",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
}


class Refused(Exception):
    """The gateway, or what stands before it, does not let the probe in; the message says why."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One event: when it was sent, by the sender's clock, and when it came, by ours.

    Both in seconds, each since a moment of its own. ``read`` numbers the read that brought it.
    """

    number: int
    sent_s: float
    came_s: float
    read: int


@dataclass
class Measured:
    """What was seen.

    Attributes:
        head_s, first_s: from the request to the head, and to the first event.
        ticks: the events of the first look.
        ended: how its answer came to its end; ``done`` where its last event had come.
        status, version, tls_version, headers: of its head.
        seen: what the gateway told of the request as it came there.
        request_id: what was sent as ``X-Request-ID``.
        silence_s, cut_after_s: how long nothing was sent in the second look, and after how much of
            that the connection was gone; ``None`` where it stayed.
        left_after_s: how long it took until the gateway had seen a leave; ``None``: it had not.
        skipped: looks that were not taken, and why.
    """

    head_s: float = 0.0
    first_s: float | None = None
    ticks: list[Tick] = field(default_factory=list)
    ended: str = ""
    status: int = 0
    version: str = ""
    tls_version: str | None = None
    offers_h2: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    silence_s: float = 0.0
    cut_after_s: float | None = None
    left_after_s: float | None = None
    skipped: dict[str, str] = field(default_factory=dict)


class Prober:
    """Asks one gateway.

    Args:
        credential: the headers that say who asks.
        silence_s: how long nothing is sent in the second look.
    """

    def __init__(
        self,
        place: Place,
        credential: Mapping[str, str],
        *,
        silence_s: float,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._place = place
        self._credential = credential
        self._silence_s = silence_s
        self._trust = trust or (ssl.create_default_context() if place.tls else None)

    async def measure(self) -> Measured:
        """All three looks, one after the other.

        Raises:
            Unreachable: there is no answer at all.
            Refused: there is one, and it is not the probe's.
        """
        measured = Measured(silence_s=self._silence_s, request_id=f"probe-{uuid4().hex}")
        await self._look_at_events(measured)
        measured.offers_h2 = await self._offers_h2()
        await self._look_at_silence(measured)
        await self._look_at_leave(measured)
        return measured

    def _ask(self, events: int, silence_s: float, request_id: str) -> Any:
        query = f"?events={events}&interval_ms={INTERVAL_MS}&silence_ms={int(silence_s * 1000)}"
        headers = {**SENT_HEADERS, "X-Request-ID": request_id, **self._credential}
        return asking(self._place, PATH + query, headers, trust=self._trust, timeout_s=TIMEOUT_S)

    async def _look_at_events(self, measured: Measured) -> None:
        async with self._ask_when_free(EVENTS, 0.0, measured.request_id) as answer:
            measured.status, measured.version = answer.status, answer.version
            measured.headers, measured.tls_version = answer.headers, answer.tls_version
            measured.head_s = answer.head_s - answer.asked_s
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._take_events(measured, answer)
            except TimeoutError:
                measured.ended = f"it was still going on after {TIMEOUT_S:.0f} s"
            except (EventTooLarge, ValueError, KeyError, TypeError):
                raise Refused(_not_ours(answer)) from None
            is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
            if not measured.ticks and not is_stream:
                raise Refused(_not_ours(answer))

    async def _take_events(self, measured: Measured, answer: Answer) -> None:
        parser, read = SseParser(), 0
        async for piece in answer.pieces():
            read += 1
            for event in parser.feed(piece.content):
                self._take(measured, answer, event.type, event.data, piece.at_s, read)
            if measured.ended == "done":
                return
        measured.ended = answer.ended or ""

    def _take(
        self, measured: Measured, answer: Answer, name: str, data: str, at_s: float, read: int
    ) -> None:
        if name == "done":
            measured.ended = "done"
            return
        told = json.loads(data)
        if name == "probe":
            measured.seen = told
            measured.first_s = at_s - answer.asked_s
        if name in ("probe", "tick"):
            measured.ticks.append(Tick(told["n"], told["sent_ms"] / 1000, at_s, read))

    def _ask_when_free(self, events: int, silence_s: float, request_id: str) -> _WhenFree:
        return _WhenFree(lambda: self._ask(events, silence_s, request_id))

    async def _look_at_silence(self, measured: Measured) -> None:
        loop = asyncio.get_running_loop()
        if not self._silence_s:
            measured.skipped["silence"] = "not asked for"
            return
        try:
            async with self._ask_when_free(1, self._silence_s, f"probe-{uuid4().hex}") as answer:
                began_s = loop.time()
                ticks, parser = 0, SseParser()
                async with asyncio.timeout(self._silence_s + TIMEOUT_S):
                    async for piece in answer.pieces():
                        names = [event.type for event in parser.feed(piece.content)]
                        ticks += sum(name in ("probe", "tick") for name in names)
                        if ticks > 1:
                            return
            measured.cut_after_s = loop.time() - began_s
        except TimeoutError:
            measured.skipped["silence"] = "the event behind it never came"
        except EventTooLarge:
            measured.skipped["silence"] = "what came is no event stream"
        except (Unreachable, Refused) as problem:
            measured.skipped["silence"] = str(problem)

    async def _look_at_leave(self, measured: Measured) -> None:
        """Leaves a stream, and asks for another: there is one for each person, so that the second
        begins once the gateway has seen that the first was left."""
        loop = asyncio.get_running_loop()
        try:
            # It would go on for as long as the gateway is asked, and then some.
            events = int((LEAVE_S * 2) * 1000 / INTERVAL_MS)
            async with self._ask_when_free(events, 0.0, f"probe-{uuid4().hex}") as answer:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEFORE_LEAVE_S):
                        await _first_event(answer)
            left_s = loop.time()
            while loop.time() - left_s < LEAVE_S:
                async with self._ask(1, 0.0, f"probe-{uuid4().hex}") as answer:
                    if answer.status == 200:
                        measured.left_after_s = loop.time() - left_s
                        return
                await asyncio.sleep(ASK_AGAIN_S)
        except (Unreachable, Refused) as problem:
            measured.skipped["leave"] = str(problem)

    async def _offers_h2(self) -> bool | None:
        """Whether clients may speak HTTP/2 with what is nearest to them."""
        if not self._place.tls or self._trust is None:
            return None
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2", "http/1.1"])
        try:
            async with asyncio.timeout(TIMEOUT_S):
                _, writer = await asyncio.open_connection(
                    self._place.host, self._place.port, ssl=context
                )
        except (OSError, TimeoutError):
            return None
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        writer.transport.abort()
        return bool(chosen == "h2")


class _WhenFree:
    """A probe's stream, once the place of this person is free; an earlier run may still hold it."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask
        self._entered: Any = None

    async def __aenter__(self) -> Answer:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + TIMEOUT_S
        while True:
            self._entered = self._ask()
            answer: Answer = await self._entered.__aenter__()
            if answer.status == 200:
                return answer
            why = await _why_refused(answer)
            await self._entered.__aexit__(None, None, None)
            if answer.status != 429 or loop.time() > until_s:
                raise Refused(why)
            await asyncio.sleep(ASK_AGAIN_S)

    async def __aexit__(self, *failure: Any) -> Any:
        return await self._entered.__aexit__(*failure)


async def _first_event(answer: Answer) -> None:
    async for piece in answer.pieces():
        if b"event: probe" in piece.content:
            return


async def _why_refused(answer: Answer) -> str:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            body = await answer.body()
        error = json.loads(body)["error"]
        return f"{answer.status} {error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError, RecursionError, TimeoutError):
        return _not_ours(answer)


def _not_ours(answer: Answer) -> str:
    server = answer.headers.get("server", "something")
    return f"{answer.status} by {server}, which is not the gateway's answer"
