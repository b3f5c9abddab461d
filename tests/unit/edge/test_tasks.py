"""Background tasks: kept, named, and reported when they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gateway.edge import tasks
from gateway.edge.tasks import Tasks


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    found: list[BaseException] = []
    monkeypatch.setattr(tasks, "report", lambda exception, request_id: found.append(exception))
    return found


async def test_a_task_that_fails_is_reported_under_its_name(
    reported: list[BaseException],
) -> None:
    """Nobody awaits it, so this is the only way anybody learns."""
    failure = RuntimeError("it broke")

    async def fail() -> None:
        raise failure

    running = Tasks()
    task = running.spawn(fail(), "some work")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert task.get_name() == "some work"
    assert reported == [failure]


async def test_a_task_that_ends_or_is_stopped_is_no_news(reported: list[BaseException]) -> None:
    """Stopping cancels what runs and waits until it has ended."""
    ended = asyncio.Event()

    async def work() -> None:
        return None

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    running = Tasks()
    await running.spawn(work(), "short")
    waiting = running.spawn(wait(), "long")
    await asyncio.sleep(0)
    await running.stop()
    assert ended.is_set()
    assert waiting.cancelled()
    assert reported == []
