"""Both clients behind one face, so that each rule is asked of both."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import httpx

from knowledge_base import AsyncKnowledgeBase, KnowledgeBase, Retries

from .fake_server import FakeServer

BASE = "http://kb.test"


class Client:
    """``call`` runs a method of ``of``, and reads what it gives to the end."""

    def __init__(self, of: KnowledgeBase | AsyncKnowledgeBase) -> None:
        self.of = of

    async def call(self, name: str, *args: Any, **named: Any) -> Any:
        target: Any = self.of
        for step in name.split("."):
            target = getattr(target, step)
        found = target(*args, **named)
        if inspect.isawaitable(found):
            return await found
        if hasattr(found, "__anext__"):
            return [one async for one in found]
        if hasattr(found, "__next__"):
            return list(found)
        return found


def make(kind: str, server: FakeServer, **options: Any) -> Client:
    options.setdefault("retries", Retries())
    if not {"api_key", "token", "username"} & set(options):
        options["api_key"] = "kbg_key"
    if kind == "sync":
        return Client(KnowledgeBase(BASE, transport=httpx.MockTransport(server), **options))
    transport = httpx.MockTransport(server.later)
    return Client(AsyncKnowledgeBase(BASE, transport=transport, **options))


Make = Callable[..., Client]
