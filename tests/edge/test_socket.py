"""Questions over a WebSocket, as the ``websockets`` client asks them."""

from __future__ import annotations

import json

from .conftest import Gateway
from .sockets import signed_in

BOTH_LOOPS = True


async def test_a_question_is_answered_with_the_cores_events(gateway: Gateway) -> None:
    """Each event is a message with the question's id, and data that is the event's own JSON."""
    async with signed_in(gateway) as socket:
        assert socket.of.subprotocol == "kbg.v1"
        await socket.ask("one", "what is it?", top_k=3)
        assert await socket.answer("one") == [
            {"id": "one", "event": "meta", "data": {"query_id": "q-1", "model": "stub"}},
            {"id": "one", "event": "token", "data": {"text": "hello"}},
            {"id": "one", "event": "done", "data": {"finish_reason": "stop"}},
        ]
    assert json.loads(gateway.core.bodies[-1]) == {"query": "what is it?", "top_k": 3}
    assert gateway.core.headers_of_query()["x-kb-subject"] == "alice"
