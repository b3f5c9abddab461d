"""One thread for an engine that only one thread may touch, and its answers back to the event loop.

A question costs a place in a queue and a future, and no lock, task or timer of its own: a thousand
streams opened at once are a thousand questions, and while the thread works through them the loop
is woken once for many answers. One watch for all of them keeps their limits.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# How often the loop is woken while more questions wait, in seconds.
GATHER_S = 0.002


class _Question:
    """Work whose answer an event loop waits for. ``asked_at`` is in seconds, monotonic."""

    __slots__ = ("answer", "asked_at", "failure", "found", "work")

    def __init__(self, work: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        self.work = work
        self.answer = answer
        self.asked_at = time.monotonic()
        self.found: Any = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.found = self.work()
        except BaseException as exc:
            self.failure = exc

    def settle(self) -> None:
        """On the loop's thread."""
        if self.answer.done():
            return
        if self.failure is None:
            self.answer.set_result(self.found)
        else:
            self.answer.set_exception(self.failure)


class PolicyThread:
    """Runs work in the order it was given.

    Args:
        budget_s: seconds of work one question may take once it is its turn. The thread's CPU time
            is counted, where the system gives it, so that other load on the machine uses up no
            question's budget.
        turn_s: seconds from when it was asked to its answer, whatever else happens.
    """

    def __init__(self, *, budget_s: float, turn_s: float) -> None:
        self._budget_s = budget_s
        self._turn_s = turn_s
        self._queue: SimpleQueue[_Question | Callable[[], None] | None] = SimpleQueue()
        # The oldest first: the watch looks no further than the first that may still wait.
        self._open: dict[_Question, None] = {}
        # The question the thread works on, and its clock at the start; read by the watch.
        self._present: tuple[_Question, float] | None = None
        self._watch: asyncio.TimerHandle | None = None
        # Answered on the thread, handed out on the loop.
        self._answered: deque[_Question] = deque()
        self._handed_out_at = 0.0
        self._closed = False
        # A daemon: a policy that never ends must not keep the process from ending.
        thread = threading.Thread(target=self._run, name="policy", daemon=True)
        thread.start()
        self._worked_s = _clock_of(thread)

    def do(self, work: Callable[[], T]) -> Future[T]:
        """Runs ``work`` when all before it is done, however long it takes."""
        done: Future[T] = Future()

        def run() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(work())
            except BaseException as exc:
                done.set_exception(exc)

        self._queue.put(run)
        return done

    async def ask(self, work: Callable[[], T]) -> T:
        """What ``work`` returns. Raises ``TimeoutError`` past its turn or its budget."""
        if self._closed:
            raise TimeoutError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        question = _Question(work, answer)
        self._open[question] = None
        self._queue.put(question)
        if self._watch is None:
            self._watch = loop.call_later(self._budget_s / 4, self._look, loop)
        try:
            return await answer
        finally:
            self._open.pop(question, None)

    def close(self) -> None:
        """Ends the thread after its present work; open questions fail."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        for question in self._open:
            _fail(question)
        self._queue.put(None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fails the question that takes too long, and all behind it: their turn may never come."""
        self._settle()
        now = time.monotonic()
        present = self._present
        runs_away = present is not None and self._worked_s() - present[1] > self._budget_s
        for question in self._open:
            if not runs_away and now - question.asked_at <= self._turn_s:
                break
            _fail(question)
        self._watch = loop.call_later(self._budget_s / 4, self._look, loop) if self._open else None

    def _settle(self) -> None:
        while self._answered:
            self._answered.popleft().settle()

    # --- on the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                work = self._queue.get_nowait()
            except Empty:
                self._hand_out()
                work = self._queue.get()
            if isinstance(work, _Question):
                self._answer(work)
                continue
            # This may take long, and answers that are there must not wait for it.
            self._hand_out()
            if work is None:
                return
            work()

    def _answer(self, question: _Question) -> None:
        if question.answer.done():
            return
        self._present = (question, self._worked_s())
        question.run()
        self._present = None
        self._answered.append(question)
        if time.monotonic() - self._handed_out_at > GATHER_S:
            self._hand_out()

    def _hand_out(self) -> None:
        """Wakes the loop, so that it hands out what is answered."""
        self._handed_out_at = time.monotonic()
        if self._answered:
            # A loop that is closed waits for no answer; an empty queue was handed out meanwhile.
            with suppress(RuntimeError, IndexError):
                self._answered[0].answer.get_loop().call_soon_threadsafe(self._settle)


def _clock_of(thread: threading.Thread) -> Callable[[], float]:
    """The seconds the thread has worked, readable from any other; else seconds that passed."""
    if hasattr(time, "pthread_getcpuclockid") and thread.ident is not None:
        return partial(time.clock_gettime, time.pthread_getcpuclockid(thread.ident))
    return time.monotonic


def _fail(question: _Question) -> None:
    if not question.answer.done():
        question.answer.set_exception(TimeoutError())
