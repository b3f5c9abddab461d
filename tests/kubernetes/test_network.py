"""Who may talk to whom: the ways that the network policies leave open are those that are needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from .rendered import NAMES, environment, named, of_kind

OURS = "knowledge-base"
GATEWAY = {"app.kubernetes.io/name": "gateway"}
_ADDRESS = re.compile(r"(?:\w[\w+]*://)?([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local:(\d+)\Z")

Way = tuple[str, str, str]


def policies(overlay: str) -> list[dict[str, Any]]:
    return [one["spec"] for one in of_kind(overlay, "NetworkPolicy")]


def applies(spec: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = spec["podSelector"].get("matchLabels", {})
    return wanted.items() <= labels.items()


def ways(overlay: str, direction: str) -> set[Way]:
    """All that is open to the gateway's pods: namespace, pods, port."""
    rules = [
        rule
        for spec in policies(overlay)
        if applies(spec, GATEWAY)
        for rule in spec.get(direction, [])
    ]
    side = "from" if direction == "ingress" else "to"
    return {
        (*_peer(peer), str(port["port"]))
        for rule in rules
        for peer in rule[side]
        for port in rule["ports"]
    }


def _peer(peer: dict[str, Any]) -> tuple[str, str]:
    assert "ipBlock" not in peer
    place = peer.get("namespaceSelector", {}).get("matchLabels", {})
    pods = peer.get("podSelector", {}).get("matchLabels", {})
    return place.get("kubernetes.io/metadata.name", OURS), ",".join(pods.values())


@pytest.mark.parametrize("overlay", NAMES)
def test_everything_is_denied_that_is_not_allowed(overlay: str) -> None:
    """Both ways, for every pod of the namespace, whoever put it there."""
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies(overlay)


@pytest.mark.parametrize("overlay", NAMES)
def test_only_envoy_and_prometheus_get_in(overlay: str) -> None:
    """To the public port from Envoy Gateway, to the admin port from the monitoring namespace."""
    grpc = {("envoy-gateway-system", "", "grpc")} if overlay == "grpc" else set()
    assert ways(overlay, "ingress") == grpc | {
        ("envoy-gateway-system", "", "http"),
        ("monitoring", "", "admin"),
    }
    ports = named(overlay, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"]
    env = configuration(overlay)
    assert {one["name"]: str(one["containerPort"]) for one in ports} == {
        "http": env["GATEWAY_SERVER_PORT"],
        "admin": env["GATEWAY_ADMIN_LISTEN_PORT"],
        **({"grpc": env["GATEWAY_GRPC_PORT"]} if overlay == "grpc" else {}),
    }


def test_only_what_the_gateway_stands_on_is_reached() -> None:
    """Core, OPA, Temporal, S3, Redis and DNS; nothing else."""
    inside = {(OURS, "core", "8100"), (OURS, "opa", "8181"), ("kube-system", "kube-dns", "53")}
    assert ways("dev", "egress") == inside | {
        (OURS, "temporal", "7233"),
        (OURS, "s3", "7070"),
        (OURS, "redis", "6379"),
    }
    outside = {
        ("temporal", "frontend", "7233"),
        ("object-storage", "", "9000"),
        ("redis", "", "6379"),
    }
    assert ways("production", "egress") == inside | outside
    istiod = ("istio-system", "istiod", "15012")
    assert ways("mesh", "egress") == inside | outside | {istiod}


def configuration(overlay: str) -> dict[str, str]:
    template = named(overlay, "Deployment")["spec"]["template"]
    return environment(overlay, template["spec"]["containers"][0])


@pytest.mark.parametrize("overlay", NAMES)
def test_every_address_in_the_settings_may_be_reached(overlay: str) -> None:
    """A dependency that is moved takes its policy along, or is missed here and not in the night."""
    names = ("SERVICES_CORE", "SERVICES_OPA", "SERVICES_TEMPORAL", "S3_ENDPOINT")
    env = configuration(overlay)
    open_to = {(place, port) for place, _, port in ways(overlay, "egress")}
    for name in names:
        found = _ADDRESS.match(env[f"GATEWAY_{name}"])
        assert found, name
        assert (found[2], found[3]) in open_to, name


def test_services_of_the_dev_stack_are_where_the_settings_say() -> None:
    """Every address names a Service of the overlay, at a port that it has."""
    services = {
        one["metadata"]["name"]: {str(port["port"]) for port in one["spec"]["ports"]}
        for one in of_kind("dev", "Service")
    }
    for value in configuration("dev").values():
        if found := _ADDRESS.match(value):
            assert found[3] in services[found[1]]


def test_envoy_leaves_streams_alone() -> None:
    """No limit on a whole answer, no buffer, no compression, no retry; room for many."""
    route = named("production", "HTTPRoute")["spec"]
    for rule in route["rules"]:
        assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    back = named("production", "BackendTrafficPolicy")["spec"]
    assert {"requestBuffer", "compression", "compressor", "retry"}.isdisjoint(back)
    http = back["timeout"]["http"]
    limits = ("requestTimeout", "maxStreamDuration", "streamIdleTimeout", "maxConnectionDuration")
    assert {http[name] for name in limits} == {"0s"}
    assert back["circuitBreaker"]["maxParallelRequests"] > 1024
    front = named("production", "ClientTrafficPolicy")["spec"]
    assert front["timeout"]["http"]["streamIdleTimeout"] == "0s"
    assert "connection" not in front


def test_envoy_lets_go_of_idle_connections_before_the_gateway_does(tmp_path: Path) -> None:
    """Else it sends a request into a connection that the gateway is closing."""
    from gateway.settings import SPECS

    idle = named("production", "BackendTrafficPolicy")["spec"]["timeout"]["http"]
    kept = SPECS["keep_alive_timeout"].default
    assert kept is not None
    assert int(idle["connectionIdleTimeout"].removesuffix("s")) < int(kept.removesuffix("s"))


def test_grpc_is_led_to_its_own_port_and_pages_can_read_how_it_ended() -> None:
    """Only the gateway's own services, and with the headers that say what went wrong."""
    route = named("grpc", "GRPCRoute", "gateway-grpc")
    (rule,) = route["spec"]["rules"]
    service = named("grpc", "Service", rule["backendRefs"][0]["name"])
    assert service["spec"]["ports"] == [
        {"name": "grpc", "port": 80, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"}
    ]
    services = re.compile(rule["matches"][0]["method"]["service"])
    assert services.fullmatch("knowledge.gateway.v1.QueryService")
    assert not services.fullmatch("grpc.reflection.v1alpha.ServerReflection")
    listeners = named("grpc", "Gateway")["spec"]["listeners"]
    names = {one["name"]: one["hostname"] for one in listeners}
    assert names[route["spec"]["parentRefs"][0]["sectionName"]] == route["spec"]["hostnames"][0]
    assert len(set(names.values())) == 2
    cors = named("grpc", "SecurityPolicy", "gateway-grpc")["spec"]["cors"]
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= set(cors["exposeHeaders"])


def test_the_mesh_is_strict() -> None:
    """Nothing in the namespace is reached in the clear."""
    assert named("mesh", "PeerAuthentication", "strict")["spec"] == {"mtls": {"mode": "STRICT"}}
