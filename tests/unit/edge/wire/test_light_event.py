"""A gate does what an event did: who waits goes on when it opens, and no sooner."""

from __future__ import annotations

import asyncio

import pytest

from gateway.edge.wire.light_event import LightEvent


async def test_who_waits_goes_on_when_it_opens() -> None:
    """All of them, tasks and calls; also when it shuts again at once."""
    gate, called = LightEvent(is_set=False), []
    waiting = [asyncio.ensure_future(gate.wait()) for _ in range(3)]
    gate.then(lambda: called.append(1))
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    gate.set()
    gate.clear()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert called == [1]
    assert not gate.is_set()


async def test_an_open_gate_is_passed_at_once() -> None:
    assert await LightEvent(is_set=True).wait()


async def test_a_call_is_made_once_and_not_after_it_was_taken_back() -> None:
    gate, called = LightEvent(is_set=False), []

    def call() -> None:
        called.append(1)

    gate.then(call)
    gate.forget(call)
    gate.set()
    assert called == []
    gate.clear()
    gate.then(call)
    gate.set()
    gate.set()
    assert called == [1]


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    """The next opening calls nobody who has gone."""
    gate = LightEvent(is_set=False)
    waiting = asyncio.ensure_future(gate.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    assert gate.is_set()
