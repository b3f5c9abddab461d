"""Sockets of the gateway under test, by the ``websockets`` client and by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .conftest import Gateway
from .raw import TIMEOUT_S

PATH = "/api/v1/query/ws"
V1 = "kbg.v1"


@dataclass
class Socket:
    """One client's end."""

    of: ClientConnection

    async def say(self, **message: Any) -> None:
        await self.of.send(json.dumps(message))

    async def ask(self, question_id: str = "1", query: str = "hi", **fields: Any) -> None:
        await self.say(type="ask", id=question_id, query=query, **fields)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            message = json.loads(await self.of.recv())
        assert message.keys() == {"id", "event", "data"}, message
        return dict(message)

    async def answer(self, question_id: str = "1") -> list[dict[str, Any]]:
        """All that is told of one question, where no other is open."""
        told = [await self.next()]
        while told[-1]["event"] not in ("done", "error", "answer", "cancelled"):
            told.append(await self.next())
        assert {message["id"] for message in told} == {question_id}
        return told

    async def error(self, question_id: str = "1") -> dict[str, Any]:
        """The error that a question ends with."""
        last = (await self.answer(question_id))[-1]
        assert last["event"] == "error", last
        return dict(last["data"]["error"])

    async def closed(self) -> tuple[int, str]:
        """Waits for the gateway's close; what still comes before is dropped."""
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.of.recv()
        assert self.of.close_code is not None
        return self.of.close_code, self.of.close_reason or ""


@contextlib.asynccontextmanager
async def opened(
    gateway: Gateway,
    headers: dict[str, str] | None = None,
    subprotocols: list[str] | None = None,
    **options: Any,
) -> AsyncIterator[Socket]:
    """A socket with these headers in its upgrade; nobody is signed in without any."""
    scheme = "ws" if gateway.trust is None else "wss"
    url = f"{scheme}://{gateway.address[0]}:{gateway.address[1]}{PATH}"
    async with connect(
        url,
        additional_headers=headers,
        subprotocols=[V1] if subprotocols is None else subprotocols,  # type: ignore[list-item]
        ssl=gateway.trust,
        proxy=None,
        open_timeout=TIMEOUT_S,
        ping_interval=None,
        **options,
    ) as connection:
        yield Socket(connection)


@contextlib.asynccontextmanager
async def signed_in(
    gateway: Gateway, username: str = "alice", **options: Any
) -> AsyncIterator[Socket]:
    async with opened(gateway, await gateway.bearer(username), **options) as socket:
        yield socket
