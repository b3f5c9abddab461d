"""What a core sends nearly always, recognised without a parse: ordinary events.

An event is *plain* when it has two lines, ending in LF, and ends no answer. Runs of plain events
pass at a boundary (``EventSplitter.at_boundary``) as they are; all else is ``sse.EventSplitter``'s.
How a transfer frames them is the transfer's: ``http_client.plain_chunks`` puts HTTP chunks round
these patterns.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

# ``.`` stops at LF alone and is several times as fast as a class; CR is looked for beside it.
PLAIN_EVENT = rb"event: (?!done\n|error\n)[a-z][a-z_-]*\ndata: .*\n\n"
PLAIN_RUN = rb"(?:" + PLAIN_EVENT + rb")+"
is_plain_run = re.compile(PLAIN_RUN).fullmatch


class FramedSizes(NamedTuple):
    """How to tell that a read is plain events and their framing, and nothing else.

    Attributes:
        of_event: gives the bytes of the one event that the read holds. Faster, for usual lengths.
        of_run: gives the bytes of the run of events, where that is not above the limit given.

    Both give 0 for anything else.
    """

    of_event: Callable[[bytes], int]
    of_run: Callable[[bytes, int], int]
