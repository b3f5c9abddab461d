"""What a client may say on a socket, read as strictly as a body is.

The message that asks is its blueprint's to declare: it has the fields of the question beside these.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from gateway.domain.strict_json import read_json
from gateway.errors import ValidationFailed

ID_LIMIT_CHARS = 64
# The client's own name of a question; it comes back with everything that is said about it.
QuestionId = Annotated[str, Meta(min_length=1, max_length=ID_LIMIT_CHARS)]


class Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first message, where no credential came with the upgrade: a JWT or an API key."""

    type: Literal["auth"]
    token: Annotated[str, Meta(min_length=1)]

    def __repr__(self) -> str:
        return "Auth()"  # never the token


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No more of that answer."""

    type: Literal["cancel"]
    id: QuestionId


class Ask(Protocol):
    """A question: a ``Struct`` whose ``type`` is ``"ask"`` and whose ``id`` is a ``QuestionId``."""

    @property
    def id(self) -> str: ...


class NotJson(ValidationFailed):
    """A message that is no JSON, or no object."""


class BadAsk:
    """A question that is wrong, and whose: the refusal is its answer."""

    __slots__ = ("fault", "id")

    def __init__(self, question_id: str, fault: ValidationFailed) -> None:
        self.id = question_id
        self.fault = fault


class _Envelope(msgspec.Struct):
    type: Any = None
    id: Any = None


def read_message(text: bytes, ask: type[Any]) -> Auth | Cancel | Ask | BadAsk:
    """One message of a client.

    Raises:
        NotJson: see there.
        ValidationFailed: it is wrong, and answers to nothing.
    """
    try:
        envelope = msgspec.json.decode(text, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise NotJson("A message is a JSON object.") from exc
    shape = _shape(envelope.type, ask)
    try:
        message: Auth | Cancel | Ask = read_json(text, shape)
        return message
    except ValidationFailed as fault:
        if shape is ask and _is_id(envelope.id):
            return BadAsk(envelope.id, fault)
        raise


def _shape(kind: Any, ask: type[Any]) -> type[Any]:
    match kind:
        case "ask":
            return ask
        case "cancel":
            return Cancel
        case "auth":
            return Auth
    raise ValidationFailed(fields={"type": "must be one of ask, auth, cancel"})


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= ID_LIMIT_CHARS
