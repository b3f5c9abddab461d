"""Small while nobody asks: the memory of two workers and their supervisor, all connected."""

from __future__ import annotations

import sys

import pytest

from benchmarks import rest
from devstack.stack import Stack

from .test_workers import serving

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("stack"),
    pytest.mark.skipif(sys.platform != "linux", reason="PSS is in /proc"),
]

WORKER_MIB = 50
ALL_MIB = 128
# With a password being hashed, which takes 19 MiB for its 20 ms; at most one in a gateway.
HASHING_WORKER_MIB = 68
HASHING_ALL_MIB = 140
IDLE_MILLICORES = 30


async def test_two_workers_at_rest_are_small(stack: Stack) -> None:
    """All dependencies connected and used; first without requests, then with many logins at once.

    The bound on CPU is for any machine; ``python -m benchmarks rest`` measures.
    """
    async with serving(stack, 2) as served:
        target = rest.Target(served.process.pid, served.base_url, stack.secrets.admin_password)
        row = await rest.one_round(target, 0, workers=2, seconds=10)
    print(row)
    assert row["worker_pss_mib"] <= WORKER_MIB
    assert row["pss_mib"] <= ALL_MIB
    assert row["login_worker_pss_mib"] <= HASHING_WORKER_MIB
    assert row["login_pss_mib"] <= HASHING_ALL_MIB
    assert row["idle_millicores"] <= IDLE_MILLICORES
