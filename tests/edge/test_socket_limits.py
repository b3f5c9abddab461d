"""Limits and leases over a WebSocket: each question counts as the one over HTTP would."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus

from .conftest import running_gateway
from .sockets import opened, signed_in
from .stub_core import StubCore


async def test_limits_by_address_count_upgrades_and_questions(core: StubCore) -> None:
    """So that nobody tries credentials out by upgrades; the address is the client's."""
    limits = "query:run 1/h burst 1 per address; socket 1/h burst 1 per address"
    async with running_gateway(core, LIMITS=limits) as gateway:
        async with signed_in(gateway) as socket:
            await socket.ask("1")
            assert (await socket.answer("1"))[-1]["event"] == "done"
            await socket.ask("2")
            assert (await socket.error("2"))["code"] == "RATE_LIMITED"
        with pytest.raises(InvalidStatus) as refused:
            async with opened(gateway):
                pass
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["Retry-After"]) > 0
