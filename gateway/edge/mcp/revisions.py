"""Which revision of MCP a request speaks, and whether its head says what its body says.

Since 2026-07-28 each request carries its revision, and headers repeat what a proxy may want to know
of it; they are believed only where the body says the same. Clients of two older revisions begin
with ``initialize``. What they need of it can be answered without remembering anything, so they are
served too, as long as they need nothing else that is remembered.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from msgspec import UnsetType
from sanic.compat import Header

from gateway.edge.mcp.messages import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    UNSUPPORTED_VERSION,
    Message,
    Params,
    RpcFault,
)

LATEST: Final = "2026-07-28"
# Newest first. Those before them allow batches, or have no header for their version.
OLDER: Final = ("2025-11-25", "2025-06-18")
SERVED: Final = (LATEST, *OLDER)

_VERSION, _METHOD, _NAME = "mcp-protocol-version", "mcp-method", "mcp-name"
_ENCODED, _ENCODED_END = "=?base64?", "?="


def revision_of(message: Message, params: Params, headers: Header) -> str:
    """The revision to answer in.

    Raises:
        RpcFault: it is not served, its head and its body differ, or it lacks what it must carry.
    """
    told = _one(headers, _VERSION)
    said = params.meta.version if not isinstance(params.meta, UnsetType) else None
    if isinstance(said, UnsetType):
        said = None
    if said is None and (told in OLDER or (told is None and message.method == "initialize")):
        return told or OLDER[0]
    if said is None and told is not None and told not in SERVED:
        raise unsupported(told)
    return _of_its_own(message, params, headers, told)


def check_version(headers: Header) -> None:
    """Of a notification, which need not say it."""
    told = _one(headers, _VERSION)
    if told is not None and told not in SERVED:
        raise unsupported(told)


def unsupported(requested: str) -> RpcFault:
    data = {"supported": list(SERVED), "requested": requested[:64]}
    return RpcFault(UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def older_for(requested: str | UnsetType) -> str:
    """What ``initialize`` is answered with: the version asked for, or the newest there is."""
    return requested if requested in OLDER else OLDER[0]


def _of_its_own(message: Message, params: Params, headers: Header, told: str | None) -> str:
    """A request that says everything itself; the order of the checks is that of the SDKs."""
    meta = params.meta
    if isinstance(meta, UnsetType) or UnsetType in (type(meta.version), type(meta.capabilities)):
        raise RpcFault(
            INVALID_PARAMS,
            "params._meta must have io.modelcontextprotocol/protocolVersion and"
            " io.modelcontextprotocol/clientCapabilities; for a client that begins with"
            f" initialize, the header MCP-Protocol-Version must be one of {', '.join(OLDER)}.",
        )
    version = str(meta.version)
    _same("MCP-Protocol-Version", told, version)
    if version in OLDER:
        return version
    _same("Mcp-Method", _one(headers, _METHOD), message.method)
    if message.method == "tools/call" and not isinstance(params.name, UnsetType):
        _same("Mcp-Name", _decoded(_one(headers, _NAME)), params.name)
    if version != LATEST:
        raise unsupported(version)
    return version


def _one(headers: Header, name: str) -> str | None:
    """A header's value; of two nobody knows which one a proxy has read."""
    values = headers.getall(name, [])
    if len(values) > 1:
        raise RpcFault(HEADER_MISMATCH, f"Header mismatch: {name} is there twice")
    return values[0] if values else None


def _same(header: str, told: str | None, said: str) -> None:
    if told is None:
        raise RpcFault(HEADER_MISMATCH, f"Header mismatch: {header} is missing")
    if told != said:
        raise RpcFault(HEADER_MISMATCH, f"Header mismatch: {header} is not what the body says")


def _decoded(text: str | None) -> str | None:
    """A value that no header could have as it is travels in base64 of its UTF-8."""
    if text is None or not (text.startswith(_ENCODED) and text.endswith(_ENCODED_END)):
        return text
    inside = text[len(_ENCODED) : -len(_ENCODED_END)]
    try:
        return base64.b64decode(inside, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
