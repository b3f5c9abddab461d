"""The memory that a replica's workers share: all read what one wrote, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable

import pytest

from gateway.adapters.revocation_board import _SLOT, TEXT_LIMIT_BYTES, RevocationBoard
from gateway.domain.revocations import TEXT_LIMIT_CHARS
from gateway.errors import SharedStateUnavailable


def soon(seconds: float = 60) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_what_was_written_is_read_once_in_its_order() -> None:
    """By each reader, who keeps his own place."""
    board = RevocationBoard()
    for text in ("one", "two"):
        await board.write(text, soon())
    first = board.read(0)
    assert (first.texts, first.position, first.missed) == (["one", "two"], 2, False)
    await board.write("three", soon())
    assert board.read(first.position).texts == ["three"]
    assert board.read(0).texts == ["one", "two", "three"]
    assert board.written == 3


async def test_a_reader_that_was_too_slow_is_told() -> None:
    """He gets what is left, and has to ask the store for the rest."""
    board = RevocationBoard(slots=4)
    for number in range(9):
        await board.write(str(number), soon())
    late = board.read(3)
    assert (late.texts, late.position, late.missed) == (["5", "6", "7", "8"], 9, True)
    assert not board.read(5).missed


async def test_the_longest_text_fits() -> None:
    """A longer one is a mistake in the code."""
    assert TEXT_LIMIT_CHARS <= TEXT_LIMIT_BYTES
    board = RevocationBoard()
    await board.write("x" * TEXT_LIMIT_BYTES, soon())
    assert board.read(0).texts == ["x" * TEXT_LIMIT_BYTES]
    with pytest.raises(ValueError, match="do not fit"):
        await board.write("x" * (TEXT_LIMIT_BYTES + 1), soon())


def in_child(work: Callable[[], None]) -> int:
    """Runs in a forked process; gives its id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def write_many(board: RevocationBoard, who: int, times: int) -> None:
    for number in range(times):
        while not board._write(f"{who}.{number}".encode()):
            pass


def test_processes_that_write_at_once_lose_nothing() -> None:
    """Each one's entries are there, whole and in its order."""
    board, times = RevocationBoard(slots=4096), 500
    children = [in_child(lambda who=who: write_many(board, who, times)) for who in range(4)]  # type: ignore[misc]
    for pid in children:
        os.waitpid(pid, 0)
    texts = board.read(0).texts
    for who in range(4):
        mine = [text for text in texts if text.startswith(f"{who}.")]
        assert mine == [f"{who}.{number}" for number in range(times)]
    assert len(texts) == 4 * times


async def test_a_process_killed_while_it_holds_the_lock_holds_it_no_longer() -> None:
    """And what it had half written is overwritten by the next."""
    board = RevocationBoard()
    await board.write("before", soon())
    read_end, write_end = os.pipe()

    def dies_writing() -> None:
        fcntl.lockf(board._lock, fcntl.LOCK_EX)
        at = board._place(2)
        board._memory[at : at + 40] = b"\xff" * 40
        os.write(write_end, b"!")
        signal.pause()

    pid = in_child(dies_writing)
    os.read(read_end, 1)
    with pytest.raises(SharedStateUnavailable):
        await board.write("after", soon(0))
    assert board.read(0).texts == ["before"]
    kill(pid)
    await board.write("after", soon())
    assert board.read(0).texts == ["before", "after"]
    for end in (read_end, write_end):
        os.close(end)


async def test_an_entry_that_is_not_whole_yet_is_read_later() -> None:
    """As another processor may see it: its number moved, its bytes on their way."""
    board = RevocationBoard()
    await board.write("one", soon())
    await board.write("two", soon())
    at = board._place(2) + _SLOT.size
    whole = board._memory[at : at + 1]
    board._memory[at : at + 1] = b"?"
    first = board.read(0)
    assert (first.texts, first.missed) == (["one"], False)
    board._memory[at : at + 1] = whole
    assert board.read(first.position).texts == ["two"]
