"""One message of an agent: a JSON-RPC request or notification, read as the specification says.

The envelope and what every request carries are read here by msgspec; the arguments of a tool stay
as they came, for the tool to read them strictly.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

# JSON-RPC 2.0, section 5.1, and what the specification adds to it.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

# They come back in what is sent: a long one would make each of many notifications long.
ID_LIMIT_CHARS = 256
Id = Annotated[str, Meta(max_length=ID_LIMIT_CHARS)] | int
_RESERVED = "io.modelcontextprotocol/"


class RpcFault(Exception):
    """A message that is refused by an error of JSON-RPC.

    Attributes:
        code: of JSON-RPC or of the specification.
        message: one sentence for whoever wrote the client.
        data: more about it, JSON-ready.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code, self.message, self.data = code, message, data
        super().__init__(message)

    @property
    def status(self) -> int:
        """The status of HTTP that the specification asks for."""
        return 404 if self.code == METHOD_NOT_FOUND else 400


class RequestMeta(msgspec.Struct, frozen=True):
    """What a request says of itself; of a client's capabilities nothing here needs any."""

    version: str | UnsetType = msgspec.field(name=f"{_RESERVED}protocolVersion", default=UNSET)
    capabilities: dict[str, Raw] | UnsetType = msgspec.field(
        name=f"{_RESERVED}clientCapabilities", default=UNSET
    )
    progress_token: Id | UnsetType = msgspec.field(name="progressToken", default=UNSET)


class Params(msgspec.Struct, frozen=True):
    """What any request that is served here can be given; ``version`` is that of ``initialize``."""

    meta: RequestMeta | UnsetType = msgspec.field(name="_meta", default=UNSET)
    name: str | UnsetType = UNSET
    arguments: Raw | UnsetType = UNSET
    cursor: str | UnsetType = UNSET
    version: str | UnsetType = msgspec.field(name="protocolVersion", default=UNSET)


class RpcMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One JSON-RPC message; without an ``id`` it is a notification."""

    jsonrpc: Literal["2.0"]
    method: str
    id: Id | UnsetType = UNSET
    params: dict[str, Any] | UnsetType = UNSET


class _Envelope(msgspec.Struct, frozen=True):
    """``RpcMessage`` with its parameters as they came."""

    jsonrpc: Literal["2.0"]
    method: str
    id: Id | UnsetType = UNSET
    params: Raw | UnsetType = UNSET


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_PARAMS = msgspec.json.Decoder(Params)
_ANY_PARAMS = msgspec.json.Decoder(dict[str, Raw])
Read = TypeVar("Read")


class Message:
    """A message whose envelope is right.

    Attributes:
        id: ``None`` of a notification.
        method: what is asked for.
    """

    __slots__ = ("_params", "id", "method")

    def __init__(self, envelope: _Envelope) -> None:
        self.id = None if isinstance(envelope.id, UnsetType) else envelope.id
        self.method = envelope.method
        self._params = envelope.params

    def params(self) -> Params:
        """What it was given.

        Raises:
            RpcFault: something of it has another type than the specification says.
        """
        return Params() if isinstance(self._params, UnsetType) else _read(_PARAMS, self._params)

    def check_params(self) -> None:
        """For a notification, whose parameters nobody reads.

        Raises:
            RpcFault: they are no object, which JSON-RPC would allow and MCP does not.
        """
        if not isinstance(self._params, UnsetType):
            _read(_ANY_PARAMS, self._params)


def _read(decoder: msgspec.json.Decoder[Read], params: Raw) -> Read:
    try:
        return decoder.decode(params)
    except msgspec.ValidationError as fault:
        raise RpcFault(INVALID_PARAMS, f"The params are not valid: {fault}") from fault
    except (msgspec.DecodeError, RecursionError) as fault:
        raise RpcFault(PARSE_ERROR, "The body is not valid JSON.") from fault


def read_message(body: bytes) -> Message:
    """The one message in a body.

    Raises:
        RpcFault: it is no JSON, a batch, an answer, or no message at all.
    """
    try:
        body.decode()
        return Message(_ENVELOPE.decode(body))
    except msgspec.ValidationError as fault:
        told = "The body must be one JSON-RPC 2.0 request or notification, and no batch"
        raise RpcFault(INVALID_REQUEST, f"{told}: {fault}") from fault
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise RpcFault(PARSE_ERROR, "The body is not valid JSON in UTF-8.") from fault
