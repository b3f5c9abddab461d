"""WebSocket by its rules (RFC 6455): the upgrade's head, the close codes, and how a frame begins.

What flows which way: the headers of a request go in, an ``Upgrade`` or a refusal comes out; a
failure goes in, the close code that tells of it comes out. Frames of a client are read by
``websockets``; those of the gateway are few in kind, and are written here.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.errors import (
    AmbiguousCredentials,
    Draining,
    Forbidden,
    GatewayError,
    MalformedRequest,
    Overloaded,
    PolicyUnavailable,
    RateLimited,
    SharedStateUnavailable,
    StorageUnavailable,
    Unauthenticated,
    UpgradeRequired,
    ValidationFailed,
)

SUBPROTOCOL = "kbg.v1"
# A browser can send no header with its upgrade: its credential stands behind this, in an entry
# beside ``SUBPROTOCOL``. It is never answered with: an answer's subprotocol may be logged.
CREDENTIAL_ENTRY = "kbg.bearer."

# RFC 6455, 1.3 and 4.2.1.
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = "13"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==\Z")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request for an upgrade that is well formed.

    Attributes:
        accept: the answer's ``Sec-WebSocket-Accept``.
        subprotocol: the answer's; ``None`` where the client named none.
        bearer: the credential that came beside the subprotocol.
    """

    accept: str
    subprotocol: str | None
    bearer: str | None = field(default=None, repr=False)


def read_upgrade(values: Callable[[str], Sequence[str]]) -> Upgrade:
    """Reads the headers of a GET of HTTP/1.1; ``values`` gives those of one name, in lower case.

    Raises:
        UpgradeRequired: it asks for no WebSocket, or for another version of it.
        MalformedRequest: it asks wrongly, or for other subprotocols than there are.
        AmbiguousCredentials: more than one credential stands in it.
    """
    upgrade, connection = _items(values("upgrade")), _items(values("connection"))
    if [one.lower() for one in upgrade] != ["websocket"]:
        raise UpgradeRequired
    if "upgrade" not in [one.lower() for one in connection]:
        raise UpgradeRequired
    if list(values("sec-websocket-version")) != [_VERSION]:
        raise UpgradeRequired(headers={"Sec-WebSocket-Version": _VERSION})
    keys = list(values("sec-websocket-key"))
    if len(keys) != 1 or not _KEY.match(keys[0]):
        raise MalformedRequest("Sec-WebSocket-Key must be there once, 16 bytes in base64.")
    subprotocol, bearer = _subprotocols(_items(values("sec-websocket-protocol")))
    return Upgrade(accept_key(keys[0]), subprotocol, bearer)


def accept_key(key: str) -> str:
    """What shows that the answer is one to this key (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _items(lines: Sequence[str]) -> list[str]:
    return [item.strip() for line in lines for item in line.split(",") if item.strip()]


def _subprotocols(offered: list[str]) -> tuple[str | None, str | None]:
    """The one to speak, and the credential beside it."""
    if not offered:
        return None, None
    if not all(map(_TOKEN.match, offered)) or SUBPROTOCOL not in offered:
        raise MalformedRequest(f"The one subprotocol spoken here is {SUBPROTOCOL}.")
    brought = [one for one in offered if one.startswith(CREDENTIAL_ENTRY)]
    if len(brought) > 1:
        raise AmbiguousCredentials(reason="ambiguous")
    return SUBPROTOCOL, brought[0].removeprefix(CREDENTIAL_ENTRY) if brought else None


class Close(NamedTuple):
    """How a socket is closed: a code, and a reason of at most 123 bytes."""

    code: int
    reason: str


NORMAL = 1000
GOING_AWAY = 1001
UNSUPPORTED_DATA = 1003
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
TOO_BIG = 1009
INTERNAL = 1011
TRY_AGAIN_LATER = 1013
# From 4000 on a code is the application's (RFC 6455, 7.4.2): these two are HTTP's, by their ends.
NOT_SIGNED_IN = 4401
NOT_ALLOWED = 4403

_CODES: tuple[tuple[type[GatewayError], int], ...] = (
    (Unauthenticated, NOT_SIGNED_IN),
    (Forbidden, NOT_ALLOWED),
    (Draining, GOING_AWAY),
    (Overloaded, TRY_AGAIN_LATER),
    (RateLimited, TRY_AGAIN_LATER),
    (PolicyUnavailable, TRY_AGAIN_LATER),
    (StorageUnavailable, TRY_AGAIN_LATER),
    (SharedStateUnavailable, TRY_AGAIN_LATER),
    (ValidationFailed, POLICY_VIOLATION),
)


def close_for(error: GatewayError) -> Close:
    """The close that tells of a failure; its reason is the failure's code."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return Close(code, error.code)
    return Close(INTERNAL, error.code)


_TEXT = 0x81  # a whole message of text (RFC 6455, 5.2)
_SMALL, _MEDIUM = 126, 1 << 16
_MEDIUM_HEAD, _LARGE_HEAD = struct.Struct("!BBH"), struct.Struct("!BBQ")
# Nearly every event is so short; its head is looked up.
_HEADS = tuple(
    bytes((_TEXT, size)) if size < _SMALL else _MEDIUM_HEAD.pack(_TEXT, 126, size)
    for size in range(2048)
)


def text_head(size: int) -> bytes:
    """What stands before a text of ``size`` bytes, to make it a message of one frame."""
    if size < len(_HEADS):
        return _HEADS[size]
    if size < _MEDIUM:
        return _MEDIUM_HEAD.pack(_TEXT, 126, size)
    return _LARGE_HEAD.pack(_TEXT, 127, size)
