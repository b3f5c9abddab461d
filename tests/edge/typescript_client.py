"""The TypeScript client as a client of the doors ``sse`` and ``json``, for ``conformance/``.

One Node process has as many clients as are asked for (``typescript_client.mjs``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

from devstack.components import Missing
from tests.components import missing_components
from tools.build_client import CONSOLE
from tools.node_packages import node

from .doors import Credential, Door, Progress, Told
from .python_client import base_url, token_of
from .raw import TIMEOUT_S, Where

DRIVER = Path(__file__).with_name("typescript_client.mjs")


def find_node() -> Path:
    """Without it the test is skipped, or fails where all must be real."""
    try:
        return node()
    except Missing as error:
        missing_components(error)


def as_package(compiled: Path, folder: Path) -> Path:
    """A copy that Node takes for modules, as it is told by a ``package.json``; its index."""
    shutil.copytree(compiled, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder / "index.js"


class NodeClients:
    """A running Node; ``started`` runs one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count(1)
        self._told: dict[int, asyncio.Queue[dict[str, Any]]] = {}

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            self._told[told["id"]].put_nowait(told)
        for waiting in self._told.values():
            waiting.put_nowait({"ends": None, "failed": "Node has ended"})

    def ask(self, do: str, where: Where, credential: Credential, **more: Any) -> Asked:
        asked = Asked(self, next(self._numbers), self._told.setdefault)
        about = {"url": base_url(where), "token": token_of(credential), "seconds": TIMEOUT_S}
        self.send({"id": asked.number, "do": do, **about, **more})
        return asked

    def send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")


class Asked:
    """One question: what is told of it."""

    def __init__(self, clients: NodeClients, number: int, waiting: Any) -> None:
        self.number = number
        self._clients = clients
        self._told: asyncio.Queue[dict[str, Any]] = waiting(number, asyncio.Queue())

    def leave(self) -> None:
        self._clients.send({"id": self.number, "do": "leave"})

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._told.get()


@contextlib.asynccontextmanager
async def node_clients(folder: Path) -> AsyncIterator[NodeClients]:
    """Node with the client's files that are committed."""
    program = find_node()
    index = as_package(CONSOLE, folder / "client")
    process = await asyncio.create_subprocess_exec(
        *(str(program), str(DRIVER), str(index)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    clients = NodeClients(process)
    listening = asyncio.create_task(clients.listen(), name="node")
    try:
        yield clients
    finally:
        listening.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class TypeScriptClient(Door):
    """``leaves_after`` so many events its user has had enough."""

    leaves_after: int | None = None

    def __init__(self, clients: NodeClients) -> None:
        self.clients = clients


def failed(told: Told, said: dict[str, Any]) -> Told:
    """How the answer ended, by the error; ``None`` where the connection just broke off."""
    told.ends = said["ends"]
    if "failed" not in said:
        return told
    if said["ends"] is None:
        assert said["failed"] == "AnswerIncomplete", said
        return told
    assert said["failed"] == "ApiError"
    assert said["requestId"]
    after = said.get("retryAfter")
    told.status, told.retry_after_s = said.get("status"), None if after is None else int(after)
    told.error = {name: said[name] for name in ("message", "details")} | {"code": said["ends"]}
    return told


class TypeScriptStream(TypeScriptClient):
    name = "sse"

    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        told = Told()
        more = {"query": query, "leaves_after": self.leaves_after}
        asked = self.clients.ask("ask", where, credential, **more)
        progress.leave = asked.leave
        while "ends" not in (said := await asked.next()):
            progress.has_head = True
            if "event" in said:
                told.events.append(tuple(said["event"]))
                progress.events = len(told.events)
        return failed(told, said)

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected.get("early"):
            assert told.status == expected["status"], where
            return
        assert told.events == [tuple(event) for event in expected["events"]], where


class TypeScriptWhole(TypeScriptClient):
    name = "json"
    blind = True

    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        progress.blind = progress.has_head = True
        asked = self.clients.ask("whole", where, credential, query=query)
        progress.leave = asked.leave
        said = await asked.next()
        return failed(Told(answer=said.get("answer")), said)

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected["ends"] == "done":
            assert told.answer == expected["answer"], where
        elif expected["ends"] is not None:
            assert told.status == expected["status"], where


TS_CLIENTS = {"stream": TypeScriptStream, "whole": TypeScriptWhole}
