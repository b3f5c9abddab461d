"""A conversation as OpenAI's clients send it: which message is the question, and what came before.

Clients send all that was ever said, with whatever their own and other servers put into it. What is
of no use to a knowledge base is left out of what came before; only the question itself must be
something that it understands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from gateway.errors import ValidationFailed

QUESTION_LIMIT_CHARS = 8192
# What a core is told of what came before (contract, section 5): the newest of it.
MOST_EARLIER = 50
EARLIER_LIMIT_BYTES = 64 * 1024

_CORE_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class Part(msgspec.Struct, frozen=True):
    """A part of a message's content; ``text`` is that of the type ``text``."""

    type: str
    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    """A message; other fields of it (``name``, ``refusal``, ``annotations`` …) are ignored."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[Part], Meta(max_length=64)] | None = None


class Asked(NamedTuple):
    """The question, and the messages before it as a core takes them."""

    question: str
    earlier: list[dict[str, str]]


def asked(messages: Sequence[Message]) -> Asked:
    """What a conversation asks: its last message of a user. What follows that one is left out.

    Raises:
        ValidationFailed: nobody asks anything, or not in text, or at too great a length.
    """
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "user":
            return Asked(
                _question(messages[at], f"messages[{at}].content"), _earlier(messages[:at])
            )
    raise ValidationFailed(fields={"messages": "expected a message of the role user"})


def _question(message: Message, field: str) -> str:
    if isinstance(message.content, list):
        for part in message.content:
            if part.type != "text":
                raise ValidationFailed(
                    fields={field: f"only text is understood, not {part.type[:64]}"}
                )
    text = _text(message)
    if not text:
        raise ValidationFailed(fields={field: "expected a question"})
    if len(text) > QUESTION_LIMIT_CHARS:
        limit = f"expected at most {QUESTION_LIMIT_CHARS:,} characters of the question"
        raise ValidationFailed(fields={field: limit})
    return text


def _text(message: Message) -> str:
    content = message.content
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text for part in content if part.type == "text" and part.text)


def _earlier(messages: Sequence[Message]) -> list[dict[str, str]]:
    found = list(_newest_first(messages))
    found.reverse()
    return found


def _newest_first(messages: Sequence[Message]) -> Iterator[dict[str, str]]:
    room_bytes, room = EARLIER_LIMIT_BYTES, MOST_EARLIER
    for message in reversed(messages):
        role, text = _CORE_ROLES.get(message.role), _text(message)
        if role is None or not text:
            continue
        told = {"role": role, "content": text}
        # As it travels: an escape is longer than what it stands for.
        room_bytes, room = room_bytes - len(msgspec.json.encode(told)), room - 1
        if room_bytes < 0 or room < 0:
            return
        yield told
