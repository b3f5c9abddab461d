"""Passwords as argon2id hashes (m=19 MiB, t=2, p=1), checked off the event loop.

One hash takes some 20 ms of a core and 19 MiB. They run one at a time in a thread of their own, so
that a burst of logins neither fills a worker's memory nor delays its streams; a few wait, each
client address in its turn (``domain/fair_queue.py``), and one more is refused with 503. Workers of
one gateway can take turns, too: ``one_at_a_time``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import tempfile
import unicodedata
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import argon2
from argon2.low_level import Type, hash_secret

from gateway.domain.fair_queue import FairQueue
from gateway.errors import Overloaded

_MEMORY_KIB: Final = 19 * 1024
_TIME_COST: Final = 2
_PARALLELISM: Final = 1
_HASHER = argon2.PasswordHasher(_TIME_COST, _MEMORY_KIB, _PARALLELISM)
# The hash of a random password: an unknown user is checked against it, at the same cost.
_NOBODY = _HASHER.hash(secrets.token_bytes(32))


def _bytes(password: str) -> bytes:
    """One password, however a keyboard composed its accents (RFC 8265, section 4.2.2)."""
    return unicodedata.normalize("NFC", password).encode("utf-8")


def hash_password(password: str) -> str:
    """A fresh argon2id hash in PHC format, for the users file."""
    return _HASHER.hash(_bytes(password))


def hash_with_salt_of(password: str, salt_text: str) -> str:
    """A hash that every worker and replica computes alike; the salt is a digest of ``salt_text``.

    For a password given in the environment: nothing stores its hash, so nothing stores a salt.
    """
    salt = hashlib.sha256(salt_text.encode("utf-8")).digest()[:16]
    return hash_secret(
        _bytes(password), salt, _TIME_COST, _MEMORY_KIB, _PARALLELISM, hash_len=32, type=Type.ID
    ).decode("ascii")


def hash_fault(password_hash: str) -> str | None:
    """What is wrong with a hash somebody wrote into a file, or ``None``.

    Other parameters are refused: a user whose check takes longer or shorter than that of an
    unknown user can be found by the clock.
    """
    try:
        found = argon2.extract_parameters(password_hash)
    except (argon2.exceptions.InvalidHashError, ValueError):
        return "is not an argon2 hash in PHC format ($argon2id$v=19$m=19456,t=2,p=1$…)"
    expected = argon2.extract_parameters(_NOBODY)
    wanted = (expected.type, expected.memory_cost, expected.time_cost, expected.parallelism)
    if (found.type, found.memory_cost, found.time_cost, found.parallelism) != wanted:
        return "is not an argon2id hash with m=19456, t=2, p=1"
    return None


class Turns:
    """Lets one process at a time hash: a lock on a file without a name.

    Held in the hashing thread, and released by the kernel when its process dies. It must be made
    before the fork, and used by one thread of each process.
    """

    def __init__(self) -> None:
        self._file = _nameless_file()

    def __enter__(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)


def _nameless_file() -> Any:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("turns"), "wb")
    return tempfile.TemporaryFile()


_turns: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


def one_at_a_time() -> None:
    """From now on, in this process and in those forked from it, at most one hash is made at once.

    So that logins cost a gateway 19 MiB, however many its workers are.
    """
    global _turns
    _turns = Turns()


def _matches(password_hash: str, password: str) -> bool:
    try:
        with _turns:
            return _HASHER.verify(password_hash, _bytes(password))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


async def _let_in() -> None:
    return None


class Argon2Passwords:
    """Implements ``ports.PasswordVerifier`` for one worker and its event loop."""

    def __init__(self, max_waiting: int) -> None:
        self._busy = False
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(max_waiting)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="argon2")

    @property
    def waiting(self) -> int:
        """How many callers wait for their turn; one more may be having it."""
        return len(self._queue)

    async def verify(
        self,
        password_hash: str | None,
        password: str,
        *,
        group: str = "",
        in_turn: Callable[[], Awaitable[None]] = _let_in,
    ) -> bool:
        """Whether they belong together. ``None`` (no such user) costs the same and is ``False``.

        Raises:
            Overloaded: one is being checked and ``max_waiting`` wait already, none of them in a
                group that has more waiting than this one.
        """
        await self._my_turn(group)
        try:
            await in_turn()
            check = self._check(password_hash or _NOBODY, password)
        except BaseException:
            self._next()
            raise
        # One under way cannot be stopped: its turn lasts until it is done, whoever leaves.
        check.add_done_callback(lambda _: self._next())
        return await asyncio.shield(check) and password_hash is not None

    async def _my_turn(self, group: str) -> None:
        if not self._busy:
            self._busy = True
            return
        turn = asyncio.get_running_loop().create_future()
        turned_away = self._queue.put(group, turn)
        if turned_away is turn:
            raise Overloaded
        if turned_away is not None and not turned_away.done():
            turned_away.set_exception(Overloaded())
        try:
            await turn
        except asyncio.CancelledError:
            self._queue.discard(group, turn)
            # It may have been given the turn in the moment in which its caller left.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._next()
            raise

    def _check(self, password_hash: str, password: str) -> asyncio.Future[bool]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._thread, _matches, password_hash, password)

    def _next(self) -> None:
        """The turn goes on to the next one, or is free."""
        turn = self._queue.take()
        while turn is not None and turn.done():
            turn = self._queue.take()  # Its caller left in this moment.
        self._busy = turn is not None
        if turn is not None:
            turn.set_result(None)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
