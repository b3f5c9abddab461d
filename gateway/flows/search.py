"""Passages without an answer: what the core finds in the caller's documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.domain.core_records import Passage
from gateway.ports import Core, OnBehalfOf


class Found(msgspec.Struct, frozen=True):
    """Best first; empty where nothing fits."""

    passages: Sequence[Passage]


class Search:
    """Asks the core for passages; every door that searches does it here."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def find(self, who: OnBehalfOf, body: Mapping[str, Any]) -> Found:
        """``body`` is ``query`` with ``top_k`` and ``document_ids`` where they were given.

        Raises:
            CoreLacks: the core has no search.
            CoreUnavailable, CoreProtocolError, CoreTimeout, Overloaded, ValidationFailed.
        """
        return Found(await self._core.search(who, body))
