"""What is counted elsewhere, under its metric's name: read from the real things that count."""

from __future__ import annotations

from random import Random

import pytest

from gateway.adapters.core_http import CoreHttp, CoreTimeouts
from gateway.domain.balancing import Address, Balancer, Outcome, RetryBudget
from gateway.domain.hit_count import HitCount
from gateway.errors import CoreUnavailable
from gateway.http_client.transport import CoreTransport
from gateway.ports import OnBehalfOf
from gateway.telemetry import catalogue as c
from gateway.telemetry import samples
from gateway.telemetry.catalogue import layout_for

LAYOUT = layout_for([], ("1.0", "3.11"), dependencies=("core", "policy"), pools=("core", "policy"))
WHO = OnBehalfOf("ann", "acme", frozenset({"reader"}), "req-1")


async def test_calls_that_nobody_took() -> None:
    """Two dead addresses: one is ejected (never both), and the call is repeated there, in vain."""
    transport = CoreTransport(limit=7)
    cores = Balancer(Random(1), [Address("http://127.0.0.1:1"), Address("http://127.0.0.1:2")])
    timeouts = CoreTimeouts(connect_s=2, call_s=20)
    core = CoreHttp(transport, cores, "token", timeouts=timeouts, body_limit_bytes=1024)
    with pytest.raises(CoreUnavailable):
        await core.get_document(WHO, "0190a5a8-7d4e-7c3a-9b1d-2f3e4d5c6b7a")
    found = {
        (name, *labels): value for name, labels, value in samples.core(cores, core.retries, 0.0)
    }
    assert found == {
        (c.CORE_ADDRESSES, "known"): 2,
        (c.CORE_ADDRESSES, "ejected"): 1,
        (c.EJECTIONS, "unreachable"): 1,
        (c.EJECTIONS, "failed"): 0,
        (c.RETRIES, "made"): 1,
        (c.RETRIES, "over_budget"): 0,
    }
    pool = {labels[1:]: value for name, labels, value in samples.pool("core", transport)}
    assert pool == {("open",): 0, ("idle",): 0, ("in_use",): 0, ("waiting",): 0, (): 7}
    await transport.aclose()


def test_every_ejection_counts_by_what_it_was_for() -> None:
    """One that counts for nothing, because half are out already, is none."""
    cores = Balancer(Random(1), [Address(f"http://core-{n}") for n in range(4)])
    for outcome in (Outcome.UNREACHABLE, Outcome.FAILED, Outcome.FAILED, Outcome.FAILED):
        lease = cores.choose(0.0, cores.addresses[1:])
        assert lease is not None
        lease.end(outcome, 0.0 if outcome is Outcome.UNREACHABLE else 2.0)
    assert cores.ejections == {Outcome.UNREACHABLE: 1, Outcome.FAILED: 1}


def test_a_budget_knows_what_it_gave_and_refused() -> None:
    budget = RetryBudget(share=0.0, reserve=2)
    assert [budget.take(0.0) for _ in range(5)] == [True, True, False, False, False]
    assert (budget.taken, budget.refused) == (2, 3)


def test_every_sample_has_its_series() -> None:
    """A name or a label that the catalogue has not would stop a worker's tick."""
    transport = CoreTransport(limit=1)
    found = [
        *samples.pool("core", transport),
        *samples.pool("policy", transport),
        *samples.core(Balancer(Random()), RetryBudget(), 0.0),
        *samples.caches(HitCount(), HitCount(), HitCount()),
        *samples.dependency("core", "ok", 0.1),
        *samples.worker("ready"),
    ]
    for name, labels, _ in found:
        assert labels in LAYOUT.cells_of(name)
