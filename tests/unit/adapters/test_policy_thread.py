"""One thread, many questions: in order, each within its limits, none lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.adapters.policy_thread import PolicyThread

PATIENT_S = 60.0


@pytest.fixture
def thread() -> Iterator[PolicyThread]:
    made = PolicyThread(budget_s=PATIENT_S, turn_s=PATIENT_S)
    yield made
    made.close()


async def test_questions_are_answered_in_their_order_on_one_thread(thread: PolicyThread) -> None:
    """An engine that only one thread may touch sees one question after the other."""
    seen: list[tuple[int, int]] = []

    def work(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number

    answers = await asyncio.gather(*(thread.ask(lambda n=n: work(n)) for n in range(500)))
    assert answers == list(range(500))
    assert [number for number, _ in seen] == answers
    assert len({ident for _, ident in seen}) == 1


async def test_a_failure_is_its_own_questions_alone(thread: PolicyThread) -> None:
    """The others get their answers, and so does the next."""

    def fail() -> None:
        raise LookupError("this one")

    found = await asyncio.gather(
        thread.ask(lambda: 1), thread.ask(fail), thread.ask(lambda: 3), return_exceptions=True
    )
    assert (found[0], found[2]) == (1, 3)
    assert isinstance(found[1], LookupError)


async def test_work_and_questions_keep_their_order(thread: PolicyThread) -> None:
    """A reload comes after the questions before it and before those after it."""
    version = [1]
    before = asyncio.ensure_future(thread.ask(lambda: version[0]))
    await asyncio.sleep(0)
    thread.do(lambda: version.__setitem__(0, 2)).result(PATIENT_S)
    assert await thread.ask(lambda: version[0]) == 2
    assert await before == 1


async def test_a_question_that_works_too_long_is_given_up_and_the_next_is_answered() -> None:
    """Its thread cannot be stopped; whoever asked need not wait for it."""
    thread, ends = PolicyThread(budget_s=0.01, turn_s=PATIENT_S), threading.Event()

    def runs_away() -> None:
        while not ends.is_set():
            pass

    with pytest.raises(TimeoutError):
        await thread.ask(runs_away)
    ends.set()
    assert await thread.ask(lambda: "next") == "next"
    thread.close()


async def test_a_question_whose_turn_never_comes_is_given_up() -> None:
    """Behind one that hangs without working, which costs no budget, but time."""
    thread, ends = PolicyThread(budget_s=0.01, turn_s=0.05), threading.Event()
    first = asyncio.ensure_future(thread.ask(ends.wait))
    second = asyncio.ensure_future(thread.ask(lambda: "never"))
    found = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(one) for one in found] == [TimeoutError, TimeoutError]
    ends.set()
    thread.close()


async def test_who_leaves_is_not_worked_for(thread: PolicyThread) -> None:
    """A question nobody waits for any more is passed over in its turn."""
    starts, worked = threading.Event(), []
    first = asyncio.ensure_future(thread.ask(lambda: starts.wait(PATIENT_S)))
    second = asyncio.ensure_future(thread.ask(lambda: worked.append(2)))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    starts.set()
    await first
    await thread.ask(lambda: worked.append(3))
    assert worked == [3]


async def test_behind_one_that_runs_away_nobody_waits_out_his_turn() -> None:
    """Their turn may never come: they learn it with the one before them, and so do later ones."""
    thread, ends = PolicyThread(budget_s=0.01, turn_s=PATIENT_S), threading.Event()

    def runs_away() -> None:
        while not ends.is_set():
            pass

    asked = [thread.ask(runs_away), thread.ask(lambda: 1), thread.ask(lambda: 2)]
    async with asyncio.timeout(PATIENT_S / 2):
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in found] == [TimeoutError] * 3
        with pytest.raises(TimeoutError):
            await thread.ask(lambda: "later")
    ends.set()
    thread.close()


async def test_an_answer_does_not_wait_for_the_work_behind_it(thread: PolicyThread) -> None:
    """Be it another question or a reload that takes its time."""
    ends = threading.Event()
    first = asyncio.ensure_future(thread.ask(lambda: "answer"))
    await asyncio.sleep(0)
    reload = thread.do(lambda: ends.wait(PATIENT_S))
    assert await first == "answer"
    assert not reload.done()
    ends.set()


async def test_work_nobody_waits_for_any_more_leaves_the_thread_alive(
    thread: PolicyThread,
) -> None:
    """A reload whose caller was cancelled is not done, and the next question is answered."""
    ends, reloaded = threading.Event(), []
    thread.do(lambda: ends.wait(PATIENT_S))
    reload = thread.do(lambda: reloaded.append(1))
    assert reload.cancel()
    ends.set()
    assert await thread.ask(lambda: "next") == "next"
    assert reloaded == []


async def test_a_closed_thread_answers_nobody_and_keeps_nobody_waiting() -> None:
    """Neither who asked before nor who asks afterwards."""
    thread, ends = PolicyThread(budget_s=PATIENT_S, turn_s=PATIENT_S), threading.Event()
    waiting = asyncio.ensure_future(thread.ask(lambda: ends.wait(PATIENT_S)))
    await asyncio.sleep(0)
    thread.close()
    with pytest.raises(TimeoutError):
        await waiting
    with pytest.raises(TimeoutError):
        await thread.ask(lambda: 1)
    ends.set()
