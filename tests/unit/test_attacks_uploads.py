"""Uploads asked for in ways that would cost others their turn."""

from __future__ import annotations

import asyncio

from gateway.domain.documents import UploadRules
from tests.unit.flows.documents_world import World

MIB = 1024 * 1024


async def test_a_thousand_part_urls_leave_others_their_turn() -> None:
    """Signing is pure CPU on the event loop: it pauses so often that no stream falls silent."""
    rules = UploadRules(limit_bytes=8192 * MIB, part_bytes=5 * MIB)
    world = World(rules)
    ref = await world.started(size=5000 * MIB, upload_id="upload-1")
    signed_at_turns: set[int] = set()
    sign, turns = world.store.presign_part, 0

    def counted(*args: object, **kwargs: object) -> object:
        signed_at_turns.add(turns)
        return sign(*args, **kwargs)  # type: ignore[arg-type]

    world.store.presign_part = counted  # type: ignore[assignment,method-assign]

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(somebody_else())
    parts = (await world.uploads.parts(ref, range(1, 1001), world.soon())).parts
    other.cancel()
    assert [part.n for part in parts] == list(range(1, 1001))
    assert len(signed_at_turns) >= 50
