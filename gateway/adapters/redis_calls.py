"""Calls to Redis over one connection: those of one round of the event loop leave together.

Calls are written as they come, without waiting for the answers of earlier ones; answers come in the
order of the calls. So there is no pool, and what is called first is done first. A caller that is
cancelled leaves its place: its answer is read and dropped, never given to another. A call without
an answer in time closes the connection, and all that are under way fail with it; the next call
makes a new one.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import structlog
from redis.asyncio.connection import Connection
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from gateway.adapters.redis_scripts import Script
from gateway.errors import SharedStateUnavailable

Connect = Callable[[], Awaitable[Connection]]
Answer = asyncio.Future[Any]

# Calls that may wait. A worker has fewer requests than that under way, and what is above it Redis
# could not answer in time either.
WAITING_LIMIT = 20_000
# A loop that was busy for longer than the timeout finds the answer and the timer at once: the
# answer is looked for first.
GRACE_S = 0.02

log = structlog.get_logger("gateway.redis")


class _Call(NamedTuple):
    """``words`` are the command once more, with the script's text, for a Redis that lacks it."""

    command: bytes
    until_s: float
    answer: Answer
    words: tuple[bytes, ...] | None


class RedisCalls:
    """``call`` on one event loop, ``aclose`` at the end.

    Args:
        connect: makes a connection; raises ``SharedStateUnavailable``. It bounds its own time.
        timeout_s: how long a call may take, connecting included.
        lost: called when a connection broke, or could not be made.
    """

    def __init__(
        self,
        connect: Connect,
        timeout_s: float,
        lost: Callable[[SharedStateUnavailable], None] = lambda problem: None,
    ) -> None:
        self._connect, self._timeout_s, self._lost = connect, timeout_s, lost
        self._loop = asyncio.get_running_loop()
        self._scripts: list[Script] = []
        self._unsent: list[_Call] = []
        # Sent and not yet answered, the oldest first.
        self._sent: deque[_Call] = deque()
        self._more: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def call(self, *words: bytes) -> Answer:
        """Sends a command; the future has its answer, as bytes, an integer or a list of them.

        It fails with ``SharedStateUnavailable`` when there is no answer, or it is an error.
        """
        return self._send(packed(words), None)

    def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> Answer:
        """Runs a script, by its digest; a Redis that does not know it is sent its text."""
        rest = (b"%d" % len(keys), *keys, *args)
        return self._send(packed((b"EVALSHA", script.digest, *rest)), (b"EVAL", script.text, *rest))

    def teach(self, *scripts: Script) -> None:
        """Each connection begins with their texts: a script that Redis has to be sent twice is
        answered behind what was sent after it. Where Redis forgets them later, that happens."""
        self._scripts.extend(scripts)

    def _send(self, command: bytes, words: tuple[bytes, ...] | None) -> Answer:
        answer: Answer = self._loop.create_future()
        if self._closed or len(self._sent) + len(self._unsent) >= WAITING_LIMIT:
            answer.set_exception(SharedStateUnavailable())
            return answer
        self._put(_Call(command, self._loop.time() + self._timeout_s, answer, words))
        return answer

    def _put(self, call: _Call) -> None:
        self._unsent.append(call)
        if self._task is None:
            self._task = self._loop.create_task(self._live(), name="redis calls")
        elif self._more is not None and not self._more.done():
            self._more.set_result(None)

    def drop(self) -> None:
        """Closes the connection, if there is one: the next call makes another."""
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        self._closed = True
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- The life of one connection --------------------------------------------------------------

    async def _live(self) -> None:
        """Whatever ends it, nobody is left waiting."""
        problem: BaseException | None = None
        try:
            await _until_one_fails(self._watch(), self._serve())
        except asyncio.CancelledError as found:
            problem = found
            raise
        except (SharedStateUnavailable, RedisError, OSError) as found:
            problem = found
            self._lost(_unavailable(found))
        except Exception as found:
            log.exception("connection to redis ended")
            problem = found
        finally:
            self._task = None
            self._fail_all(problem)

    async def _serve(self) -> None:
        connection = await self._connect()
        until_s = self._due_s()
        self._unsent[:0] = [self._lesson(script, until_s) for script in self._scripts]
        try:
            await _until_one_fails(self._read(connection), self._write(connection))
        finally:
            await connection.disconnect(nowait=True)

    def _lesson(self, script: Script, until_s: float) -> _Call:
        answer: Answer = self._loop.create_future()
        # Who may not load scripts may still run them.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        command = packed((b"SCRIPT", b"LOAD", script.text))
        return _Call(command, until_s, answer, None)

    async def _write(self, connection: Connection) -> None:
        while True:
            if not self._unsent:
                self._more = self._loop.create_future()
                await self._more
            # Whoever was cancelled before it was sent is not sent.
            calls = [call for call in self._unsent if not call.answer.done()]
            self._unsent.clear()
            self._sent.extend(calls)
            commands = b"".join([call.command for call in calls])
            await connection.send_packed_command(commands, check_health=False)

    async def _read(self, connection: Connection) -> None:
        while True:
            try:
                found: Any = await connection.read_response(timeout=math.inf)
            except ResponseError as problem:
                found = problem
            call = self._sent.popleft()
            if isinstance(found, NoScriptError) and call.words is not None:
                self._put(call._replace(command=packed(call.words), words=None))
            elif isinstance(found, ResponseError):
                _fail(call.answer, found)
            elif not call.answer.done():
                call.answer.set_result(found)
            if isinstance(found, ReadOnlyError):
                # A master that became a replica: who is asked for its address knows the new one.
                raise found

    async def _watch(self) -> None:
        """Looks when the oldest call is due, and no later than a timeout after a new one began."""
        while True:
            await asyncio.sleep(max(self._due_s() - self._loop.time(), 0.0))
            if self._loop.time() < self._due_s():
                continue
            await asyncio.sleep(GRACE_S)
            if self._sent and self._sent[0].until_s <= self._loop.time():
                raise SharedStateUnavailable() from TimeoutError(
                    f"no answer within {self._timeout_s:g} s"
                )
            self._give_up_unsent()

    def _due_s(self) -> float:
        waiting = self._sent or self._unsent
        return waiting[0].until_s if waiting else self._loop.time() + self._timeout_s

    def _give_up_unsent(self) -> None:
        """Those for which no connection was there in time; it may still come for the others."""
        now = self._loop.time()
        late = [call for call in self._unsent if call.until_s <= now]
        del self._unsent[: len(late)]
        for call in late:
            _fail(call.answer, TimeoutError(f"no connection within {self._timeout_s:g} s"))

    def _fail_all(self, problem: BaseException | None) -> None:
        calls = [*self._sent, *self._unsent]
        self._sent.clear()
        self._unsent.clear()
        for call in calls:
            _fail(call.answer, problem)


async def _until_one_fails(*works: Coroutine[Any, Any, None]) -> None:
    """Runs all of them; the first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as several:
        # Not `from None`: that would take its cause from it.
        raise several.exceptions[0]  # noqa: B904


def _fail(answer: Answer, problem: BaseException | None) -> None:
    """An exception for each: one that several tasks raise would grow by the traceback of each."""
    if not answer.done():
        answer.set_exception(_unavailable(problem))


def _unavailable(problem: BaseException | None) -> SharedStateUnavailable:
    failure = SharedStateUnavailable()
    known = isinstance(problem, SharedStateUnavailable)
    failure.__cause__ = problem.__cause__ if known and problem is not None else problem
    return failure


def packed(words: tuple[bytes, ...]) -> bytes:
    """A command as Redis reads it (RESP): the number of words, and each with its length."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)
