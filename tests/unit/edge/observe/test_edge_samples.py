"""What the edge counts by itself."""

from __future__ import annotations

import asyncio

from gateway.edge.observe.edge_samples import TaskCount


async def test_tasks_are_counted_now_and_then() -> None:
    """Every task of the loop that is not done; between two counts the last one stands."""
    always, seldom = TaskCount(every_s=0.0), TaskCount()
    (_, _, before), (_, _, remembered) = *always(), *seldom()
    assert before == remembered
    more = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
    try:
        assert [value for _, _, value in always()] == [before + 3]
        assert [value for _, _, value in seldom()] == [remembered]
    finally:
        for task in more:
            task.cancel()
        await asyncio.gather(*more, return_exceptions=True)
    assert [value for _, _, value in always()] == [before]
