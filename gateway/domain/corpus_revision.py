"""The revision of a user's documents, as a core names it, and who wants to hear of it."""

from __future__ import annotations

import re
from typing import Protocol

_REVISION = re.compile(r"[!-~]{1,128}")


class Told(Protocol):
    """Who wants to know of which revision of somebody's documents an answer of the core is."""

    def now(self) -> float:
        """The time at which a call is sent, to be given with what it tells."""

    def told(self, tenant: str, subject: str, revision: str | None, sent_at: float) -> None: ...


def is_revision(text: str | None) -> bool:
    """Whether a core can have said this: 1 to 128 printable letters of ASCII, no blanks."""
    return text is not None and _REVISION.fullmatch(text) is not None
