"""Which core gets the next call: choice, ejection and the budget for calls made twice."""

from __future__ import annotations

import gc
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.balancing import Address, Balancer, Ejection, Lease, Outcome, RetryBudget

A, B, C, D = (Address(f"http://{name}") for name in "abcd")


def chosen(balancer: Balancer, now: float = 0.0, avoid: tuple[Address, ...] = ()) -> Lease:
    lease = balancer.choose(now, avoid)
    assert lease is not None
    return lease


def use(balancer: Balancer, address: Address, outcome: Outcome, now: float) -> float | None:
    """One call at this very address."""
    others = [other for other in balancer.addresses if other != address]
    lease = chosen(balancer, now, tuple(others))
    assert lease.address == address
    return lease.end(outcome, now)


# --- choice -----------------------------------------------------------------------------


def test_no_address_is_no_lease() -> None:
    """Nothing known yet, or all of it tried."""
    assert Balancer(Random(1)).choose(0.0) is None
    assert Balancer(Random(1), [A]).choose(0.0, [A]) is None


def test_calls_one_after_the_other_go_round() -> None:
    """Where both are as busy, the one used longer ago is next."""
    balancer = Balancer(Random(1), [A, B])
    seen = []
    for _ in range(6):
        lease = chosen(balancer)
        seen.append(lease.address)
        lease.end(Outcome.GOOD, 0.0)
    assert seen == [A, B] * 3


def test_the_less_busy_of_two_is_taken() -> None:
    """Streams in flight count, however long ago they began."""
    balancer = Balancer(Random(1), [A, B])
    held = [chosen(balancer) for _ in range(10)]
    for lease in held:
        if lease.address == A:
            lease.end(Outcome.GOOD, 0.0)
    assert (balancer.streams(A), balancer.streams(B)) == (0, 5)
    more = [chosen(balancer) for _ in range(5)]
    assert {lease.address for lease in more} == {A}


def test_streams_spread_evenly_over_many_addresses() -> None:
    """Two choices keep the fullest close to the mean; one choice would not."""
    addresses = [Address(f"http://{n}") for n in range(20)]
    balancer = Balancer(Random(7), addresses)
    held = [chosen(balancer) for _ in range(1000)]
    counts = [balancer.streams(address) for address in addresses]
    assert sum(counts) == len(held)
    assert max(counts) - min(counts) <= 4


def test_weights_share_out_the_streams() -> None:
    """Three times the weight bears three times the streams."""
    heavy = Address("http://heavy", weight=3)
    balancer = Balancer(Random(1), [heavy, A])
    held = [chosen(balancer) for _ in range(400)]
    counts = Counter(lease.address for lease in held)
    assert counts == {heavy: 300, A: 100}


def test_a_lower_priority_waits_until_the_higher_ones_are_out() -> None:
    """A number of 10 is used only while every 0 is left out or was tried."""
    first, second = Address("http://1"), Address("http://2", priority=10)
    balancer = Balancer(Random(1), [second, first])
    assert {chosen(balancer).address for _ in range(5)} == {first}
    assert chosen(balancer, 0.0, (first,)).address == second
    use(balancer, first, Outcome.UNREACHABLE, 0.0)
    assert chosen(balancer, 0.5).address == second
    assert chosen(balancer, 1.0).address == first


# --- counting ---------------------------------------------------------------------------


def test_a_lease_counts_down_exactly_once() -> None:
    """End, end again, abandon, forget: one stream less."""
    balancer = Balancer(Random(1), [A])
    kept, ended = chosen(balancer), chosen(balancer)
    assert balancer.streams(A) == 2
    ended.end(Outcome.GOOD, 0.0)
    ended.end(Outcome.UNREACHABLE, 0.0)
    ended.abandon()
    assert balancer.streams(A) == 1
    del ended
    gc.collect()
    assert balancer.streams(A) == 1
    kept.abandon()
    assert balancer.streams(A) == 0


def test_a_forgotten_lease_counts_down() -> None:
    """Nobody is left to end it."""
    balancer = Balancer(Random(1), [A])
    lease = chosen(balancer)
    assert balancer.streams(A) == 1
    del lease
    gc.collect()
    assert balancer.streams(A) == 0


def test_an_address_that_comes_back_is_as_busy_as_it_was() -> None:
    """A look-up that leaves it out for once must not make it look idle."""
    balancer = Balancer(Random(1), [A, B])
    held = [chosen(balancer) for _ in range(8)]
    balancer.update([A], 0.0)
    assert balancer.addresses == (A,)
    assert balancer.streams(B) == 4
    balancer.update([A, B], 0.0)
    assert balancer.streams(B) == 4
    for lease in held:
        lease.end(Outcome.GOOD, 0.0)
    assert (balancer.streams(A), balancer.streams(B)) == (0, 0)


# --- ejection ---------------------------------------------------------------------------


def test_an_unreachable_address_is_left_out_at_once_for_a_growing_time() -> None:
    """1 s, 2 s, 4 s, … to 30 s; one good call and it starts from the beginning."""
    balancer = Balancer(Random(1), [A, B])
    now, lengths = 0.0, []
    for _ in range(7):
        out_s = use(balancer, A, Outcome.UNREACHABLE, now)
        assert out_s is not None
        assert balancer.ejected(now) == (A,)
        assert {chosen(balancer, now + out_s - 0.01).address for _ in range(4)} == {B}
        now += out_s
        assert balancer.ejected(now) == ()
        assert A in {chosen(balancer, now).address for _ in range(10)}
        lengths.append(out_s)
    assert lengths == [1, 2, 4, 8, 16, 30, 30]
    use(balancer, A, Outcome.GOOD, now)
    assert use(balancer, A, Outcome.UNREACHABLE, now) == 1


def test_other_failures_take_three_in_a_row() -> None:
    """One broken call may be bad luck; a good one in between forgives."""
    balancer = Balancer(Random(1), [A, B])
    script = [Outcome.FAILED, Outcome.FAILED, Outcome.GOOD, Outcome.FAILED, Outcome.UNKNOWN]
    assert [use(balancer, A, outcome, 0.0) for outcome in script] == [None] * 5
    assert use(balancer, A, Outcome.FAILED, 0.0) is None
    assert use(balancer, A, Outcome.FAILED, 0.0) == 1


def test_calls_that_say_nothing_of_an_address_never_eject_it() -> None:
    """A client that leaves a hundred streams must not be able to take a core away."""
    balancer = Balancer(Random(1), [A, B])
    for _ in range(100):
        assert use(balancer, A, Outcome.UNKNOWN, 0.0) is None
    assert balancer.ejected(0.0) == ()


def test_a_core_that_dies_with_many_streams_fails_once() -> None:
    """All of them break in the same moment: the time out must not grow with their number."""
    balancer = Balancer(Random(1), [A, B])
    held = [chosen(balancer) for _ in range(200)]
    outs = [lease.end(Outcome.FAILED, 5.0) for lease in held if lease.address == A]
    assert [out for out in outs if out is not None] == [1]
    assert use(balancer, A, Outcome.UNREACHABLE, 6.0) == 2


@pytest.mark.parametrize(("number", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_never_more_than_half_are_left_out(number: int, most: int) -> None:
    """A single address never is: where else should calls go?"""
    addresses = [A, B, C, D, Address("http://e")][:number]
    balancer = Balancer(Random(1), addresses)
    for address in addresses:
        use(balancer, address, Outcome.UNREACHABLE, 0.0)
    assert len(balancer.ejected(0.0)) == most
    assert chosen(balancer, 0.0).address not in balancer.ejected(0.0)


def test_fewer_addresses_allow_fewer_to_be_left_out() -> None:
    """The one that would be back first is back when a look-up takes the others away."""
    balancer = Balancer(Random(1), [A, B, C, D])
    use(balancer, A, Outcome.UNREACHABLE, 0.0)
    use(balancer, B, Outcome.UNREACHABLE, 0.5)
    balancer.update([A, B], 0.6)
    assert balancer.ejected(0.6) == (B,)
    assert chosen(balancer, 0.6).address == A
    balancer.update([B], 0.7)
    assert chosen(balancer, 0.7).address == B


def test_an_address_left_out_is_still_left_out_when_it_comes_back() -> None:
    """A name server that drops and restores it does not clear its name."""
    balancer = Balancer(Random(1), [A, B])
    use(balancer, A, Outcome.UNREACHABLE, 0.0)
    balancer.update([B], 0.1)
    balancer.update([A, B], 0.2)
    assert balancer.ejected(0.2) == (A,)


def test_one_left_out_is_better_than_none() -> None:
    """When all others were tried, a call may go to an address that is left out."""
    balancer = Balancer(Random(1), [A, B])
    use(balancer, A, Outcome.UNREACHABLE, 0.0)
    assert chosen(balancer, 0.0, (B,)).address == A


_OUTCOMES = st.sampled_from(Outcome)
_STEPS = st.lists(
    st.tuples(st.integers(0, 5), _OUTCOMES, st.floats(0, 3), st.sets(st.integers(0, 5))),
    max_size=60,
)


@given(_STEPS, st.integers(0, 2**32))
def test_whatever_happens_at_least_half_stay_and_counts_hold(
    steps: list[tuple[int, Outcome, float, set[int]]], seed: int
) -> None:
    """Any calls, outcomes, pauses and look-ups: no count below zero, no empty choice."""
    every = [Address(f"http://{n}", priority=n % 2, weight=n + 1) for n in range(6)]
    balancer = Balancer(Random(seed), every, Ejection(failures=2))
    now, held = 0.0, list[Lease]()
    for end, outcome, pause_s, listed in steps:
        now += pause_s
        if listed:
            balancer.update([every[n] for n in sorted(listed)], now)
        lease = balancer.choose(now)
        assert lease is not None
        assert lease.address not in balancer.ejected(now)
        held.append(lease)
        if end < len(held):
            held.pop(end).end(outcome, now)
        assert len(balancer.ejected(now)) <= len(balancer) // 2
        for address in every:
            open_there = sum(one.address == address for one in held)
            assert balancer.streams(address) == open_there


# --- the budget -------------------------------------------------------------------------


def test_a_fifth_of_the_requests_and_three_more_may_be_repeated() -> None:
    """Within ten seconds; when all fails, that is all that is added to the load."""
    budget = RetryBudget()
    repeated = 0
    for n in range(1000):
        now = n / 200
        budget.request(now)
        repeated += budget.take(now)
    assert repeated == 203


def test_what_is_long_past_neither_allows_nor_forbids() -> None:
    """Ten seconds later only the reserve is left, and it is whole again."""
    budget = RetryBudget()
    for _ in range(1000):
        budget.request(0.0)
    assert sum(budget.take(11.0) for _ in range(10)) == 3
    assert sum(budget.take(25.0) for _ in range(10)) == 3


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=300))
def test_no_window_of_ten_seconds_goes_over_the_budget(steps: list[tuple[float, bool]]) -> None:
    """At any moment, over the seconds that the budget looks back on."""
    budget = RetryBudget()
    now, requests, retries = 0.0, list[float](), list[float]()
    for pause_s, fails in steps:
        now += pause_s
        budget.request(now)
        requests.append(now)
        if fails and budget.take(now):
            retries.append(now)
            inside = [at for at in retries if int(at) > now - 10]
            allowed = 3 + 0.2 * len([at for at in requests if int(at) > now - 10])
            assert len(inside) <= allowed
