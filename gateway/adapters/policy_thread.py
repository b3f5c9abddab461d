"""One thread for an engine that only one thread may touch, and its answers back to the event loop.

A question costs a place in a queue and a future, and no lock, task or timer of its own: a thousand
streams opened at once are a thousand questions, and while the thread works through them the loop
is woken once for many answers. One watch for all of them keeps their limits.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# Answers that came meanwhile wait this long, in seconds, for more to go with them.
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
        budget_s: seconds of work one question may take once it is its turn. The thread's own time
            is counted, where the system tells it: on a machine that is busy with other things a
            question is no dearer than on a quiet one.
        turn_s: seconds from when it was asked to its answer, whatever happens meanwhile.
    """

    def __init__(self, *, budget_s: float, turn_s: float) -> None:
        self._budget_s = budget_s
        self._turn_s = turn_s
        self._queue: SimpleQueue[_Question | Callable[[], None] | None] = SimpleQueue()
        # The oldest first: the watch looks no further than the first that may still wait.
        self._open: dict[_Question, None] = {}
        # What the thread is at, and its clock then; the thread writes it, the watch reads it.
        self._present: tuple[_Question, float] | None = None
        self._watch: asyncio.TimerHandle | None = None
        # A daemon: a policy that never ends must not keep the process from ending.
        thread = threading.Thread(target=self._run, name="policy", daemon=True)
        thread.start()
        self._worked_s = _clock_of(thread)

    def do(self, work: Callable[[], T]) -> Future[T]:
        """Runs ``work`` when all before it is done, however long it takes."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as exc:
                done.set_exception(exc)

        self._queue.put(run)
        return done

    async def ask(self, work: Callable[[], T]) -> T:
        """What ``work`` gives. Raises ``TimeoutError`` when it is out of its turn or its budget."""
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
        """Ends the thread once it is done with what it was given."""
        if self._watch is not None:
            self._watch.cancel()
        self._queue.put(None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fails the question that takes too long, and those that waited too long behind it."""
        now = time.monotonic()
        present = self._present
        if present is not None and self._worked_s() - present[1] > self._budget_s:
            _fail(present[0])
        for question in self._open:
            if now - question.asked_at <= self._turn_s:
                break
            _fail(question)
        self._watch = loop.call_later(self._budget_s / 4, self._look, loop) if self._open else None

    # --- on the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        answered: list[_Question] = []
        gathering_since = 0.0
        while True:
            work = self._next(wait=not answered)
            if isinstance(work, _Question):
                if not work.answer.done():
                    if not answered:
                        gathering_since = time.monotonic()
                    self._present = (work, self._worked_s())
                    work.run()
                    self._present = None
                    answered.append(work)
                    if time.monotonic() - gathering_since < GATHER_S:
                        continue
            elif work is not None and work is not _NOTHING:
                work()
            if answered:
                _bring(answered)
                answered = []
            if work is None:
                return

    def _next(self, *, wait: bool) -> _Question | Callable[[], None] | None:
        try:
            return self._queue.get(block=wait)
        except Empty:
            return _NOTHING


def _clock_of(thread: threading.Thread) -> Callable[[], float]:
    """The seconds the thread has worked, readable from any other; else seconds that passed."""
    if hasattr(time, "pthread_getcpuclockid") and thread.ident is not None:
        return partial(time.clock_gettime, time.pthread_getcpuclockid(thread.ident))
    return time.monotonic


def _NOTHING() -> None:
    """Stands for an empty queue, where ``None`` stands for the end."""


def _bring(answered: list[_Question]) -> None:
    loop = answered[0].answer.get_loop()
    # A closed loop waits for nothing any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, answered)


def _settle(answered: list[_Question]) -> None:
    for question in answered:
        question.settle()


def _fail(question: _Question) -> None:
    if not question.answer.done():
        question.answer.set_exception(TimeoutError())
