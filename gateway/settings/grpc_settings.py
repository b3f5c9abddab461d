"""The settings of the gRPC listener."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.settings import parsers as p
from gateway.settings.faults import Fault
from gateway.settings.spec import group
from gateway.settings.version_settings import VersionSettings

_grpc = group("gRPC for clients")
# What the listener is made of, beside grpc itself.
_NEEDED = ("grpc", "grpc_health", "grpc_reflection", "google.rpc")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GrpcSettings(VersionSettings):
    """Part of ``Settings``. TLS, address and clocks are those of the public listener."""

    grpc_port: int = _grpc(
        p.integer(0, 65535),
        "0",
        "Port the gRPC services listen on, at `GATEWAY_SERVER_HOST`; 0: off. Needs the extra"
        " `[grpc]`.",
    )
    grpc_streams: int = _grpc(
        p.integer(1, 100_000),
        "100",
        "Calls that a connection may have open; a client's next ones wait until one has ended.",
    )
    grpc_message_limit: int = _grpc(
        p.size("1KiB", "100MiB"), "256KiB", "The largest message that a client may send."
    )


def grpc_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """A port that another listener has, and a package that is not there."""
    port = values.get("grpc_port")
    if not port:
        return
    for name in ("server_port", "admin_port"):
        if port == values.get(name):
            env = "GATEWAY_ADMIN_LISTEN_PORT" if name == "admin_port" else "GATEWAY_SERVER_PORT"
            yield Fault("GATEWAY_GRPC_PORT", str(port), f"another port than {env}")
    if not all(map(_is_installed, _NEEDED)):
        expected = "the extra: pip install 'knowledge-base-gateway[grpc]'"
        yield Fault("GATEWAY_GRPC_PORT", str(port), expected)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
