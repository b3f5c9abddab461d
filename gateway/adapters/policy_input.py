"""What both policy engines do before they are asked: the question as one canonical JSON text."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from gateway.domain.ids import new_uuid7
from gateway.domain.policy import (
    MALFORMED_INPUT,
    PROBE,
    Decision,
    PolicyQuestion,
    canonical,
    deny,
    is_sound,
)
from gateway.errors import PolicyBroken


class InputPolicy(ABC):
    """A policy that is asked about an ``input`` document; ``_evaluate`` is the engine's part."""

    async def decide(self, question: PolicyQuestion) -> Decision:
        return await self.decide_input(question.as_input())

    async def decide_input(self, document: object) -> Decision:
        """Asks about any ``input`` at all; raises ``PolicyUnavailable`` when out of budget."""
        text = canonical(document)
        decision_id = new_uuid7(time.time())
        if text is None:
            return deny(MALFORMED_INPUT, decision_id)
        return await self._evaluate(text, decision_id)

    @abstractmethod
    async def _evaluate(self, text: bytes, decision_id: str) -> Decision:
        """Asks the engine; ``decision_id`` names the decision where the engine gives it no id."""

    async def _check_answers(self) -> None:
        """Raises ``PolicyBroken`` for a policy that does not deny the probe in so many words."""
        if not is_sound(await self.decide_input(PROBE)):
            raise PolicyBroken from ValueError("the policy does not deny an empty question")

    async def faults(self) -> list[str]:
        return []

    async def reload(self) -> None:
        """Nothing to do: an engine in another process reloads by itself."""
        return
