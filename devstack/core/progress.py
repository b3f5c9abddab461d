"""What a worker is doing with each document right now, for whoever asks its workflow.

It is kept in memory only: a workflow's own state must come from its history, and a question about
it is answered by a worker that may know more. A worker that does not know a document says nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Stage = Literal["queued", "fetching", "reading", "splitting", "indexing"]

# Where each stage begins and ends in the progress of the whole.
_SPANS: dict[Stage, tuple[float, float]] = {
    "fetching": (0.1, 0.3),
    "queued": (0.3, 0.3),
    "reading": (0.3, 0.6),
    "splitting": (0.6, 0.7),
    "indexing": (0.7, 0.99),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A stage, how much of it is done (0 to 1), and how many documents wait before this one."""

    stage: Stage
    share: float = 0.0
    ahead: int | None = None

    @property
    def progress(self) -> float:
        """How much of the whole is done."""
        begin, end = _SPANS[self.stage]
        return round(begin + (end - begin) * min(max(self.share, 0.0), 1.0), 2)


class Board:
    """The step of each document in work, by its workflow's id; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, Step] = {}
        self._waiting: list[str] = []

    def step(self, workflow_id: str) -> Step | None:
        """What is done with a document here, or None when nothing is."""
        with self._lock:
            if workflow_id in self._waiting:
                return Step("queued", ahead=self._waiting.index(workflow_id))
            return self._steps.get(workflow_id)

    def enter(self, workflow_id: str, stage: Stage, share: float = 0.0) -> None:
        """A stage began, or so much of it is done."""
        with self._lock:
            self._steps[workflow_id] = Step(stage, share)

    @contextmanager
    def working(self, workflow_id: str, stage: Stage) -> Iterator[None]:
        """A stage, and whatever is entered inside, until the block is left."""
        self.enter(workflow_id, stage)
        try:
            yield
        finally:
            with self._lock:
                self._steps.pop(workflow_id, None)

    @contextmanager
    def waiting(self, workflow_id: str) -> Iterator[None]:
        """Waiting for its turn, behind those that came before."""
        with self._lock:
            self._waiting.append(workflow_id)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.remove(workflow_id)


BOARD = Board()
