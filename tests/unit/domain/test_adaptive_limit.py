"""How many calls a core is given: what the limit comes to on cores of known capacity."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.domain.adaptive_limit import AdaptiveLimit, LimitRules, Place
from gateway.domain.balancing import Work
from tests.unit.domain.core_simulation import Phase, Seen, simulate
from tests.unit.domain.other_limits import Adaptive, Aimd, Gradient2

SERVICE_S = 0.3


def flooded(servers: int, *, at_s: float = 0.0, service_s: float = SERVICE_S) -> Phase:
    """Three times as many questions as the core can answer."""
    return Phase(at_s, servers, service_s, 3 * servers / service_s)


def assert_near(seen: Seen, servers: int, service_s: float = SERVICE_S, *, times: float) -> None:
    """The core is kept busy, and heads take at most ``times`` as long as without load."""
    assert seen.answered_per_s >= 0.9 * servers / service_s
    assert seen.mean_time_s <= times * service_s


# --- on cores of known capacity -------------------------------------------------------------------


@pytest.mark.parametrize("servers", [2, 10, 40])
def test_it_comes_to_what_the_core_can_do(servers: int) -> None:
    """Within half a minute, and ten minutes of flood later it is still there."""
    seen = simulate([Adaptive()], [flooded(servers)], 600)
    assert_near(seen.span(30, 100), servers, times=2.5)
    assert_near(seen.span(500, 600), servers, times=2)


@pytest.mark.parametrize("workers", [4, 16])
def test_workers_that_know_nothing_of_each_other_share_a_core(workers: int) -> None:
    """Each has its own limit; measured at the same time, they do not drive each other up."""
    seen = simulate([Adaptive() for _ in range(workers)], [flooded(10)], 600)
    assert_near(seen.span(500, 600), 10, times=3)


def test_it_follows_a_core_down_and_up() -> None:
    """To a quarter of its servers, and to eight times as many."""
    phases = [flooded(20), flooded(5, at_s=100), flooded(40, at_s=200)]
    seen = simulate([Adaptive()], phases, 300)
    assert_near(seen.span(50, 100), 20, times=2)
    assert_near(seen.span(120, 200), 5, times=2)
    assert_near(seen.span(220, 300), 40, times=2)


def test_a_core_that_takes_longer_gets_as_many_calls_as_before() -> None:
    """Not its queue but its work became longer: after some measurements that is its usual time."""
    slower = flooded(20, at_s=100, service_s=3 * SERVICE_S)
    again = flooded(20, at_s=300)
    seen = simulate([Adaptive()], [flooded(20), slower, again], 500)
    assert_near(seen.span(200, 300), 20, 3 * SERVICE_S, times=2)
    assert_near(seen.span(400, 500), 20, times=2.5)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_core_with_time_to_spare_is_not_limited(workers: int) -> None:
    """At seven tenths of its capacity hardly one in a hundred is refused."""
    phases = [Phase(0, 20, SERVICE_S, 0.7 * 20 / SERVICE_S)]
    seen = simulate([Adaptive() for _ in range(workers)], phases, 300)
    assert seen.span(30, 300).refused_share <= 0.01


def test_bursts_are_cut_and_forgotten() -> None:
    """Ten seconds of five times the capacity in each half minute."""
    phases = [
        Phase(at_s, 20, SERVICE_S, 330.0 if at_s % 30 == 20 else 20.0) for at_s in range(0, 300, 10)
    ]
    seen = simulate([Adaptive()], phases, 300).span(60, 300)
    assert seen.mean_time_s <= 2 * SERVICE_S
    calm = [one for one in seen.seconds if (one.at_s - 5) % 30 < 14]
    assert sum(one.refused for one in calm) == 0


# --- beside other rules ---------------------------------------------------------------------------


def test_an_average_of_all_times_follows_the_queue_that_it_allows() -> None:
    """Gradient2's time without load grows with the load: a flood raises its limit on and on."""
    phases = [flooded(40)]
    other = simulate([Gradient2()], phases, 300).span(200, 300)
    ours = simulate([Adaptive()], phases, 300).span(200, 300)
    assert other.mean_time_s > 10 * ours.mean_time_s


def test_a_fixed_time_is_wrong_for_a_core_that_changes() -> None:
    """AIMD needs to be told what is slow; a core that takes longer than that gets nothing."""
    phases = [flooded(20), flooded(20, at_s=100, service_s=3 * SERVICE_S)]
    other = simulate([Aimd(2 * SERVICE_S)], phases, 300).span(200, 300)
    ours = simulate([Adaptive()], phases, 300).span(200, 300)
    assert other.answered_per_s < 0.4 * ours.answered_per_s


def test_measured_at_different_times_limits_drive_each_other_up() -> None:
    """Why the clock on the wall is asked: the others' load looks like the core's own time."""
    phases = [flooded(10)]
    together = simulate([Adaptive() for _ in range(4)], phases, 600).span(500, 600)
    apart = simulate([Adaptive(ahead_s=7.3 * n) for n in range(4)], phases, 600).span(500, 600)
    assert apart.mean_time_s > 5 * together.mean_time_s


# --- one call ---------------------------------------------------------------------------

RULES = LimitRules(first=4, measured_heads=2, heads=4)


def sent(limit: AdaptiveLimit, work: Work, now: float) -> Place:
    assert limit.has_room(work, now)
    place = limit.take(work)
    place.sent(now)
    return place


def answer(limit: AdaptiveLimit, times_s: list[float], work: Work = Work.QUESTION) -> None:
    """One after the other."""
    for time_s in times_s:
        sent(limit, work, 0.0).headed(time_s)


def test_a_place_is_given_back_once() -> None:
    limit = AdaptiveLimit(RULES, 0.0)
    place = sent(limit, Work.QUESTION, 0.0)
    other = sent(limit, Work.QUESTION, 0.0)
    place.headed(1.0)
    place.give_back()
    place.left(2.0)
    assert limit.in_flight == 1
    other.give_back()
    assert limit.in_flight == 0


def test_document_calls_go_before_questions() -> None:
    """They have places beside questions, ten for each, and as many when the limit is low."""
    limit = AdaptiveLimit(RULES, 0.0)
    for _ in range(4):
        sent(limit, Work.QUESTION, 0.0)
    assert not limit.has_room(Work.QUESTION, 0.0)
    for work in (Work.LIST, Work.READ, Work.DELETE, Work.REVISION) * 10:
        sent(limit, work, 0.0)
    assert not limit.has_room(Work.READ, 0.0)
    assert (limit.questions, limit.documents) == (4, 40)


def test_document_calls_teach_nothing() -> None:
    """They wait behind questions: slow ones say nothing that slow questions do not."""
    limit = AdaptiveLimit(RULES, 0.0)
    answer(limit, [1.0] * 2)
    answer(limit, [0.01] * 8 + [9.0] * 8, Work.READ)
    assert limit.limit == 4


def test_a_search_is_a_question_with_a_time_of_its_own() -> None:
    """Questions that take a hundred times as long as searches are no sign of load."""
    limit = AdaptiveLimit(RULES, 0.0)
    answer(limit, [0.01] * 2, Work.SEARCH)
    answer(limit, [1.0] * 2)
    for _ in range(4):
        answer(limit, [0.01], Work.SEARCH)
        answer(limit, [1.0])
    assert limit.limit == 4
    for _ in range(4):
        sent(limit, Work.SEARCH, 0.0)
    assert not limit.has_room(Work.QUESTION, 0.0)


@pytest.mark.parametrize(
    ("end", "after_s", "slow"),
    [
        (Place.headed, 1.0, False),
        (Place.headed, 9.0, True),
        (Place.overloaded, 0.1, True),
        (Place.left, 1.0, False),
        (Place.left, 9.0, True),
    ],
    ids=["in time", "late", "the core says so", "left soon", "left for waiting"],
)
def test_what_counts_as_slow(
    end: Callable[[Place, float], None], after_s: float, slow: bool
) -> None:
    limit = AdaptiveLimit(RULES, 0.0)
    answer(limit, [1.0] * 2)
    for _ in range(8):
        end(sent(limit, Work.QUESTION, 0.0), after_s)
    assert (limit.limit < 4) is slow


def test_a_call_that_was_never_sent_says_nothing() -> None:
    """The wait for a connection is no time of the core's."""
    limit = AdaptiveLimit(RULES, 0.0)
    answer(limit, [1.0] * 2)
    for _ in range(8):
        limit.take(Work.QUESTION).overloaded(9.0)
    assert (limit.limit, limit.in_flight) == (4, 0)


def test_a_measurement_leaves_a_quarter_and_document_calls() -> None:
    """At the half minute of the clock on the wall, where calls were refused."""
    limit = AdaptiveLimit(LimitRules(first=8, measured_heads=2, ahead_s=20.0), 0.0)
    answer(limit, [1.0] * 2)
    held = [sent(limit, Work.QUESTION, 1.0) for _ in range(8)]
    limit.refuse()
    for place in held[2:]:
        place.give_back()
    assert limit.has_room(Work.QUESTION, 9.9)
    assert not limit.has_room(Work.QUESTION, 10.1)
    assert limit.has_room(Work.READ, 10.1)
    for place in held[:2]:
        place.give_back()
    answer(limit, [2.0] * 2)
    assert limit.retry_after_s == 3  # 1.5 times the 1.5 s that it takes now, in whole seconds
    for _ in range(8):
        sent(limit, Work.QUESTION, 11.0)


def test_what_was_refused_by_the_core_is_no_measurement() -> None:
    """A core that says 503 at once, or nothing, has no other time without load for that."""
    limit = AdaptiveLimit(LimitRules(first=8, measured_heads=2), 0.0)
    answer(limit, [1.0] * 2)
    limit.refuse()
    assert limit.has_room(Work.QUESTION, 31.0)
    for _ in range(8):
        sent(limit, Work.QUESTION, 31.0).overloaded(90.0)
    assert limit.retry_after_s == 2


def test_what_nobody_refused_is_not_measured() -> None:
    limit = AdaptiveLimit(LimitRules(first=8, measured_heads=2), 0.0)
    answer(limit, [1.0] * 2)
    for _ in range(8):
        sent(limit, Work.QUESTION, 31.0)


def test_retry_after_is_one_second_while_nothing_is_known() -> None:
    assert AdaptiveLimit(RULES, 0.0).retry_after_s == 1
