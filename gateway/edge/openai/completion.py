"""A whole answer as OpenAI's clients read it: ``chat.completion``."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.domain.sse import Event
from gateway.edge.openai.answer import ChatAnswer, FinishReason
from gateway.edge.openai.citations import Annotation, CitedPassage
from gateway.errors import CoreTruncated
from gateway.flows.json_answer import Usage

MODEL = "knowledge-base"


class CompletionUsage(msgspec.Struct, frozen=True):
    """What the core counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionMessage(msgspec.Struct, frozen=True):
    """The answer; positions in ``annotations`` count code points of ``content``."""

    role: Literal["assistant"]
    content: str
    refusal: None
    annotations: list[Annotation]


class CompletionChoice(msgspec.Struct, frozen=True):
    """The only one there is."""

    index: int
    message: CompletionMessage
    logprobs: None
    finish_reason: FinishReason


class ChatCompletion(msgspec.Struct, frozen=True):
    """A whole answer. ``usage`` is there if the core counted; OpenAI has no ``citations``.

    ``created`` is in Unix seconds.
    """

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    citations: list[CitedPassage]
    usage: CompletionUsage | msgspec.UnsetType = msgspec.UNSET


class ChatEvent(msgspec.Struct, frozen=True):
    """One event of the stream; ``data`` is a `chat.completion.chunk`, or an ``Error``.

    A chunk has `id`, `created`, `model` and `choices`: one with a `delta` of `role`, `content` or
    `annotations`, and the `finish_reason` in the last, which has `citations` beside. `usage` is
    there where it was asked for. `[DONE]` comes last, and only after a whole answer.
    """

    data: str


def usage_of(counted: Usage) -> CompletionUsage:
    prompt, completion = counted.prompt_tokens, counted.completion_tokens
    return CompletionUsage(prompt, completion, prompt + completion)


class WholeAnswer:
    """Collects one answer; ``take`` is called with each of its events."""

    def __init__(self, answer: ChatAnswer) -> None:
        self._answer = answer
        self._text: list[str] = []
        self._annotations: list[Annotation] = []

    def take(self, event: Event) -> None:
        for piece in self._answer.take(event):
            if isinstance(piece, str):
                self._text.append(piece)
            else:
                self._annotations.append(piece)

    def completion(self, completion_id: str, created: int) -> ChatCompletion:
        """
        Raises:
            CoreTruncated: it has not ended.
        """
        answer = self._answer
        if answer.finish_reason is None:
            raise CoreTruncated
        message = CompletionMessage("assistant", "".join(self._text), None, self._annotations)
        return ChatCompletion(
            id=completion_id,
            object="chat.completion",
            created=created,
            model=MODEL,
            choices=[CompletionChoice(0, message, None, answer.finish_reason)],
            citations=answer.citations,
            usage=msgspec.UNSET if answer.usage is None else usage_of(answer.usage),
        )
