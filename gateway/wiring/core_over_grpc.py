"""The core's client where its addresses are gRPC's; else nothing of this is imported."""

from __future__ import annotations

from gateway.adapters.core_adapter import MakeCalls
from gateway.adapters.core_grpc import CoreGrpc
from gateway.adapters.core_grpc_connections import GrpcConnections
from gateway.adapters.core_grpc_credentials import CoreCredentials
from gateway.adapters.core_grpc_way import GrpcAnswer
from gateway.domain.balancing import Balancer
from gateway.settings import Settings
from gateway.wiring.dependency import Building
from gateway.wiring.from_settings import core_timeouts

# The gateway ends a stream before its deadline is over, and says why.
DEADLINE_MARGIN_S = 5.0


def over_grpc(
    building: Building, cores: Balancer, calls: MakeCalls[GrpcAnswer]
) -> tuple[CoreGrpc, GrpcConnections]:
    settings = building.settings
    credentials = CoreCredentials(settings.tls_files("core"))
    connections = GrpcConnections(
        limit=settings.core_connections,
        message_limit_bytes=settings.answer_limit,
        event_limit_bytes=settings.stream_event_limit,
        credentials=credentials.current,
    )
    building.closing.push_async_callback(connections.aclose)

    def take_over() -> None:
        credentials.renew()
        connections.renew()

    if uses_tls(settings):
        credentials.renew()
        building.tls.on_change("core", settings.tls_files("core"), take_over)
    core = CoreGrpc(
        connections,
        cores,
        settings.core_token,
        timeouts=core_timeouts(settings),
        answer_s=settings.stream_total + DEADLINE_MARGIN_S,
        calls=calls,
    )
    return core, connections


def uses_tls(settings: Settings) -> bool:
    return any("grpcs://" in address for address in settings.services_core)
