"""Lines for a descriptor that takes them in pieces: whole, in order, each once, no loss untold."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from gateway.telemetry.log_writer import WHOLE_BYTES, LogWriter

LINE = "x" * 999 + "\n"


class Pipe:
    """A pipe whose reader reads when a test says so."""

    def __init__(self) -> None:
        self.read_end, write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.stream: TextIO = os.fdopen(write_end, "w")
        self.writer = LogWriter(self.stream, lambda lost: f"lost {lost}\n", limit_bytes=300_000)

    def read(self) -> str:
        """All that is in it now."""
        pieces = []
        with suppress(BlockingIOError):
            while piece := os.read(self.read_end, 65536):
                pieces.append(piece)
        return b"".join(pieces).decode()

    def rest(self) -> str:
        """Reads and lets it write in turn, until nothing waits."""
        text = ""
        while not self.writer.flush():
            text += self.read()
        return text + self.read()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.stream.close()
    os.close(made.read_end)


def lines(first: int, number: int) -> list[str]:
    return [f"{n} {LINE}" for n in range(first, first + number)]


def test_a_reader_that_was_slow_gets_every_line_once_and_in_order(pipe: Pipe) -> None:
    """Also a long line that the pipe took the beginning of: its rest comes before all others."""
    said = ["y" * 100_000 + "\n", *lines(0, 100)]
    for line in said:
        pipe.writer.add(line)
        pipe.writer.flush()
    assert pipe.rest() == "".join(said)
    assert pipe.writer.dropped_total == 0


def test_the_descriptor_that_was_inherited_keeps_its_flags(pipe: Pipe) -> None:
    """Not to block is asked for on a description of its own: a shell may share the other one."""
    pipe.writer.add(LINE)
    pipe.writer.flush()
    flags = fcntl.fcntl(pipe.stream.fileno(), fcntl.F_GETFL)
    assert not flags & os.O_NONBLOCK


def test_what_was_dropped_is_told_once(pipe: Pipe) -> None:
    """Behind the lines that waited, and not again with the next ones."""
    said = lines(0, 600)
    for line in said:
        pipe.writer.add(line)
        pipe.writer.flush()
    dropped = pipe.writer.dropped_total
    assert dropped > 0
    kept = "".join(said[: len(said) - dropped])
    assert pipe.rest() == f"{kept}lost {dropped}\n"
    pipe.writer.add("next\n")
    assert pipe.rest() == "next\n"
    assert pipe.writer.dropped_total == dropped


def test_lines_are_written_together_only_as_far_as_they_stay_whole(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes share a pipe: a longer piece could end up in the middle of another's line."""
    pieces: list[bytes] = []

    def note(data: bytes) -> int:
        pieces.append(data)
        return len(data)

    monkeypatch.setattr(pipe.writer, "_write", note)
    said = [*lines(10, 10), "z" * 10_000 + "\n", *lines(20, 3)]
    for line in said:
        pipe.writer.add(line)
    assert pipe.writer.flush()
    assert b"".join(pieces).decode() == "".join(said)
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert max(len(p) for p in pieces if p.count(b"\n") > 1) <= WHOLE_BYTES
    assert len(pieces) < len(said)


def test_a_forked_process_leaves_its_parents_lines_to_its_parent(pipe: Pipe) -> None:
    """Else each worker would write again what the supervisor had not been able to write."""
    for line in lines(0, 400):
        pipe.writer.add(line)
        pipe.writer.flush()
    pipe.read()
    assert pipe.writer.dropped_total > 0
    pipe.writer.forget()
    assert pipe.writer.dropped_total == 0
    pipe.writer.add("of the child\n")
    assert pipe.rest() == "of the child\n"
