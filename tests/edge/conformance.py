"""Replays ``conformance/*.jsonl``: a scripted core behind a gateway, before it a client by door.

The files' format is told in ``docs/protocol.md``, the doors are those of ``doors.DOORS``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from gateway.errors import (
    CredentialRevoked,
    Draining,
    Forbidden,
    GatewayError,
    Overloaded,
    PolicyUnavailable,
    TokenExpired,
)

from .doors import Door, Progress, Told
from .keeping_core import After, Visit, settled
from .stub_core import END, chunk

FOLDER = Path(__file__).parents[2] / "conformance"
# What the gateway does to a running answer, by the word of a case's step.
GATEWAY_ACTS: Mapping[str, type[GatewayError]] = {
    "token expires": TokenExpired,
    "credential revoked": CredentialRevoked,
    "permission withdrawn": Forbidden,
    "policy lost": PolicyUnavailable,
    "drains": Draining,
    "stops": Overloaded,
}
WHOLE = 1 << 20


@dataclass(frozen=True)
class Case:
    """One line of a file; ``client`` is what a client of any door is told."""

    name: str
    rule: str
    steps: list[dict[str, Any]]
    client: dict[str, Any]
    outcome: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    framing: str = "chunked"

    def told_at(self, door: str) -> dict[str, Any]:
        """What is told at this door: some of it may differ there."""
        return {
            "outcome": self.outcome,
            **self.client,
            **self.client.get("doors", {}).get(door, {}),
        }

    @property
    def may_be_cut(self) -> bool:
        """Whether the core's bytes may come in any pieces.

        Not where one of the gateway's clocks is to run out: in many pieces it would too early.
        """
        ends = str(self.client["ends"])
        return self.framing == "chunked" and not (self.head or "TIME" in ends or "MAX_" in ends)

    @property
    def needs_a_hand(self) -> bool:
        """Whether the gateway is to do something by itself, which is done from inside."""
        return any("gateway" in step for step in self.steps)


@cache
def cases(file: str) -> tuple[Case, ...]:
    lines = (FOLDER / f"{file}.jsonl").read_text("ascii").splitlines()
    return tuple(Case(**json.loads(line)) for line in lines)


FILES = ("endings", "core_errors", "spellings", "refusals")


def all_cases() -> Iterator[Case]:
    for file in FILES:
        yield from cases(file)


# --- the core's part ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pieces:
    """How the core sends what a case has it send: the size of its chunks and of its writes."""

    chunk_bytes: int = WHOLE
    write_bytes: int = WHOLE


AS_GIVEN = Pieces()
IN_PIECES = (AS_GIVEN, Pieces(write_bytes=1), Pieces(chunk_bytes=1), Pieces(7, 5))


class Script:
    """Plays a case's steps on the core's connection; ``act`` is what the gateway's steps do."""

    def __init__(
        self, case: Case, pieces: Pieces, progress: Progress, act: Callable[[str], None]
    ) -> None:
        self._case, self._pieces = case, pieces
        self._progress, self._act = progress, act

    async def play(self, visit: Visit) -> After:
        case = self._case
        if "status" in case.head:
            if case.head.get("late"):
                await settled(lambda: self._progress.has_head)
            await visit.send(_refusal(case.head), WHOLE)
            return "close"
        if not case.head.get("silent"):
            await visit.send(self._head(), self._pieces.write_bytes)
        for step in case.steps:
            ending = await self._step(step, visit)
            if ending is not None:
                return ending
        raise AssertionError("a case's last step ends the core's answer")

    async def _step(self, step: dict[str, Any], visit: Visit) -> After | None:
        match step:
            case {"chunk": text}:
                await self._send(visit, text.encode())
            case {"chunk64": text}:
                await self._send(visit, base64.b64decode(text))
            case {"until_events": count}:
                await self._progress.until(count)
            case {"gateway": what}:
                self._act(what)
            case {"client": "leaves"}:
                self._progress.leave()
            case {"core": what}:
                return await self._end(visit, what)
            case _:
                raise AssertionError(f"an unknown step: {step}")
        return None

    async def _send(self, visit: Visit, data: bytes) -> None:
        if self._case.framing == "chunked":
            size = self._pieces.chunk_bytes
            data = b"".join(chunk(data[i : i + size]) for i in range(0, len(data), size))
        await visit.send(data, self._pieces.write_bytes)

    async def _end(self, visit: Visit, what: str) -> After:
        match what:
            case "ends":
                if self._case.framing == "chunked":
                    await visit.send(END, WHOLE)
                return "close" if self._case.framing == "close" else "keep"
            case "cuts":
                return "close"
            case "resets":
                return "reset"
            case "breaks":
                await visit.send(b"zz\r\n", WHOLE)
            case "holds":
                pass
            case _:
                raise AssertionError(f"an unknown end: {what}")
        await visit.until_left()
        return "close"

    def _head(self) -> bytes:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        match self._case.framing:
            case "length":
                return head + b"Content-Length: %d\r\n\r\n" % self._length()
            case "close":
                return head + b"Connection: close\r\n\r\n"
        return head + b"Transfer-Encoding: chunked\r\n\r\n"

    def _length(self) -> int:
        """Of all that is sent, and of more where the core is to be cut."""
        sent = sum(len(step.get("chunk", "").encode()) for step in self._case.steps)
        return sent if {"core": "ends"} in self._case.steps else sent + 50


def _refusal(head: dict[str, Any]) -> bytes:
    body = str(head["body"]).encode()
    headers = {"Connection": "close", **head["headers"]}
    if head["status"] != 204:
        headers["Content-Length"] = str(len(body))
    lines = [f"HTTP/1.1 {head['status']} X", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# --- what must be so ------------------------------------------------------------------------------


def assert_told(door: Door, case: Case, told: Told) -> None:
    """What a client of this door was told is what the case says, and nothing of the core's own."""
    expected = case.told_at(door.name)
    where = f"{case.name} at {door.name}: {told}"
    assert told.ends == expected["ends"], where
    assert "secret" not in json.dumps(told.error), where
    if told.error is not None:
        assert told.error["details"]["request_id"], where
    door.check(expected, told, where)
