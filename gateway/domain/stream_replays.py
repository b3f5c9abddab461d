"""A kept answer that is given again as a whole: what its state becomes, in one step.

It goes the way of any answer, from the core's head to the end of its body, and each of these moves
is in the table; only that nothing comes between them, so that they need not be made one by one.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

from gateway.domain.stream import ENDINGS, StreamEnd, StreamOutcome
from gateway.domain.stream_state import MOVES, IllegalMove, Input, StreamPhase, StreamState

_WAY: Final = (Input.HEAD, Input.FIRST_EVENT, Input.DONE, Input.BODY_END)
_FROM: Final = StreamPhase.OPENING
_TO: Final = reduce(lambda phase, what: MOVES[phase][what], _WAY, _FROM)
_OUTCOME: Final = StreamOutcome.DONE.value
_BY: Final = ENDINGS[StreamOutcome.DONE].by


def replay_whole(state: StreamState, events: int, size_bytes: int, now: float) -> None:
    """All of it was handed to the client, at once: so many events, and so many bytes."""
    if state.phase is not _FROM:
        raise IllegalMove(f"replayed while {state.phase.value}")
    state.phase = _TO
    state.events = events
    state.first_event_s = first_event_s = now - state.started
    state.sent(size_bytes)
    state.end = StreamEnd(_OUTCOME, None, _BY, events, state.sent_bytes, first_event_s)
