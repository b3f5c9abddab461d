"""What a worker tells of the documents that it works on."""

from __future__ import annotations

from pathlib import Path

from devstack.core.progress import Board, Step
from devstack.core.reading import progress
from devstack.core.reading.formats import PDF
from devstack.core.reading.sandbox import read_file
from tests.unit.devstack.core import sample_files


def test_those_that_wait_know_how_many_are_ahead() -> None:
    """In the order in which they came; one that has its turn waits no longer."""
    board = Board()
    with board.waiting("a"), board.waiting("b"):
        assert board.step("a") == Step("queued", ahead=0)
        assert board.step("b") == Step("queued", ahead=1)
    assert board.step("b") is None


def test_step_is_known_while_it_is_worked_on() -> None:
    """A stage ends with its work, whatever ended it."""
    board = Board()
    with board.working("a", "reading"):
        board.enter("a", "reading", 0.5)
        assert board.step("a") == Step("reading", 0.5)
    assert board.step("a") is None


def test_progress_never_goes_back() -> None:
    """Through the stages in their order, and within each."""
    steps = [Step("fetching"), Step("fetching", 1.0), Step("queued"), Step("reading")]
    steps += [Step("reading", 0.5), Step("splitting"), Step("indexing"), Step("indexing", 1.0)]
    found = [step.progress for step in steps]
    assert found == sorted(found)
    assert found[0] >= 0.1
    assert found[-1] < 1


def test_readers_tell_at_most_each_hundredth() -> None:
    """However many parts a file has."""
    told: list[float] = []
    progress.passed_to(told.append)
    for n in range(10_000):
        progress.tell(n, 10_000)
    progress.passed_to(None)
    progress.tell(1, 1)
    assert 90 < len(told) <= 100
    assert told == sorted(told)


async def test_reading_child_tells_how_far_it_is(tmp_path: Path) -> None:
    """Page by page, out of its own process."""
    (tmp_path / "in").write_bytes(sample_files.pdf(*("A page of text.",) * 40))
    told: list[float] = []
    await read_file(tmp_path / "in", tmp_path / "out", PDF, tell=told.append)
    assert told
    assert 0 < told[-1] < 1
