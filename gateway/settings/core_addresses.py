"""The core's addresses: which protocol they name, and what they must have in common."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.settings.faults import Fault

GRPC_SCHEMES = ("grpc://", "grpcs://")


def is_grpc(address: str) -> bool:
    return address.removeprefix("dns+").removeprefix("srv+").startswith(GRPC_SCHEMES)


def uses_grpc(addresses: Iterable[str]) -> bool:
    """Whether the core is asked over gRPC: its addresses are all of one protocol."""
    return any(map(is_grpc, addresses))


def core_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    addresses: tuple[str, ...] = values.get("services_core") or ()
    if not uses_grpc(addresses):
        return
    if not all(map(is_grpc, addresses)):
        expected = (
            "addresses of one protocol, gRPC or HTTP: they are those of one and the same core"
        )
        yield Fault("GATEWAY_SERVICES_CORE", ",".join(addresses), expected)
    if not all(importlib.util.find_spec(name) for name in ("grpc", "grpc_health")):
        expected = "the extra for gRPC: pip install 'knowledge-base-gateway[grpc]'"
        yield Fault("GATEWAY_SERVICES_CORE", ",".join(addresses), expected)
