"""What the gateway depends on outside its process: one declaration each, and ``DEPENDENCIES``.

A new one is an adapter, and here its builder, its declaration and its place in ``DEPENDENCIES``;
``dependency`` says what follows from that. What a builder makes belongs to the worker's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from gateway.adapters.core_adapter import MakeCalls
from gateway.adapters.core_calls import CoreCalls
from gateway.adapters.core_http import CoreHttp
from gateway.adapters.opa import OpaPolicy
from gateway.adapters.s3 import S3ObjectStore
from gateway.adapters.s3_client import S3Access, S3Client, make_client
from gateway.adapters.s3_keys import S3KeyStore
from gateway.adapters.temporal import TemporalWorkflows
from gateway.adapters.wasm_policy import WasmPolicy, compile_ahead, share_from_here
from gateway.domain.balancing import Address, Balancer
from gateway.errors import PolicyBroken
from gateway.flows.health import Check
from gateway.http_client.client import make_client as make_http_client
from gateway.http_client.discovery import Discovery, Lookup, NoLookup
from gateway.http_client.transport import CoreTransport
from gateway.ports import (
    Core,
    Deadline,
    KeyStore,
    ObjectStore,
    PolicyEngine,
    Workflows,
)
from gateway.settings import Settings
from gateway.settings.core_addresses import uses_grpc
from gateway.telemetry import samples
from gateway.wiring import revocation_ways
from gateway.wiring.company import PEOPLE, PROVIDER
from gateway.wiring.dependency import Building, Built, Dependency
from gateway.wiring.from_settings import (
    core_timeouts,
    documents_access,
    keys_access,
    public_access,
    revocations_access,
    temporal_access,
)
from gateway.wiring.revocation_ways import RevocationWays, ways_out
from gateway.wiring.shared_state import REPLICA, STATE
from gateway.wiring.usage import USAGE

if TYPE_CHECKING:
    from gateway.adapters.core_grpc import CoreGrpc

# OPA answers in half a millisecond: a few dozen connections carry tens of thousands of questions.
OPA_CONNECTIONS = 64
# A check ends before the time limit of the health round, so that its own error is what is reported.
CHECK_DEADLINE_S = 0.75


def _by_deadline(check: Callable[[Deadline], Any]) -> Check:
    """The check of a port whose calls take a deadline."""

    async def ask() -> None:
        await check(asyncio.get_running_loop().time() + CHECK_DEADLINE_S)

    return ask


def _contexts(
    building: Building, peer: str, *addresses: str
) -> Callable[[], ssl.SSLContext] | None:
    """Where nothing is asked over TLS, the system's certificates are not read either."""
    if not any("https://" in address for address in addresses):
        return None
    return building.tls.context(peer, building.settings.tls_files(peer))


# --- the core ------------------------------------------------------------------------------------


async def _core(building: Building) -> Built[Core]:
    settings, clock = building.settings, asyncio.get_running_loop().time
    cores = Balancer(Random())
    calls, limits = _calls(settings, cores)
    core, pool, forget = _core_client(building, cores, calls)

    def found(addresses: Sequence[Address]) -> None:
        cores.update(addresses, clock())
        forget(addresses)

    discovery = Discovery(settings.services_core, _lookup(settings), found)
    building.closing.push_async_callback(discovery.aclose)
    await discovery.start()

    async def reload(fresh: Settings) -> None:
        core.use_token(fresh.core_token)

    sources: tuple[samples.SampleSource, ...] = (
        partial(samples.pool, CORE.name, pool),
        lambda: samples.core(cores, core.retries, clock()),
        *limits,
    )
    return Built(core, core.check, sources, reload=reload)


def _core_client(
    building: Building, cores: Balancer, calls: MakeCalls[Any]
) -> tuple[CoreHttp | CoreGrpc, samples.Pool, Callable[[Sequence[Address]], None]]:
    """By the protocol that the addresses name: the client, its connections, and what drops those
    to addresses that a name led to before."""
    settings = building.settings
    if uses_grpc(settings.services_core):
        from gateway.wiring.core_over_grpc import over_grpc

        over, connections = over_grpc(building, cores, calls)
        return over, connections, connections.keep_only
    contexts = _contexts(building, "core", *settings.services_core)
    transport = CoreTransport(limit=settings.core_connections, tls=contexts)
    building.closing.push_async_callback(transport.aclose)
    core = CoreHttp(
        transport,
        cores,
        settings.core_token,
        timeouts=core_timeouts(settings),
        body_limit_bytes=settings.answer_limit,
        calls=calls,
    )
    # Its connections are kept for a few seconds only.
    return core, transport, lambda _addresses: None


def _calls(
    settings: Settings, cores: Balancer
) -> tuple[MakeCalls[Any], tuple[samples.SampleSource, ...]]:
    """What sends calls to the core, and what there is to tell of its limits."""
    if not settings.core_adaptive_limit:
        return CoreCalls, ()
    from gateway.adapters.limited_calls import CoreLimits, LimitedCalls
    from gateway.domain.adaptive_limit import LimitRules

    ahead_s = time.time() - asyncio.get_running_loop().time()
    rules = LimitRules(most=float(settings.core_connections), ahead_s=ahead_s)
    limits = CoreLimits(cores, rules)
    return partial(LimitedCalls, limits), (partial(samples.core_limits, limits),)


def _lookup(settings: Settings) -> Lookup:
    if not _looks_up_names(settings):
        return NoLookup()
    from gateway.http_client.dns_lookup import DnsLookup

    return DnsLookup()


def _looks_up_names(settings: Settings) -> bool:
    return any(source.startswith(("dns+", "srv+")) for source in settings.services_core)


def _import_for_core(settings: Settings) -> None:
    if _looks_up_names(settings):
        import gateway.http_client.dns_lookup
    if settings.core_adaptive_limit:
        import gateway.adapters.limited_calls
    if uses_grpc(settings.services_core):
        # Imported once for all workers. Nothing is made with it here: a channel that was used
        # before a fork hangs after it.
        import gateway.wiring.core_over_grpc  # noqa: F401


CORE: Dependency[Core] = Dependency(
    "core",
    _core,
    spans=frozenset({"open_query", "search", "list_documents", "get_document", "delete_document"}),
    pooled=True,
    reloaded=frozenset({"core_token"}),
    before_fork=_import_for_core,
)


# --- the policy ----------------------------------------------------------------------------------


async def _policy(building: Building) -> Built[PolicyEngine]:
    """An OPA server where one is named, else the same policy, compiled, in this process."""
    if building.settings.services_opa is not None:
        return _opa_server(building, building.settings.services_opa)
    return built_policy(WasmPolicy(building.settings.policy_dir))


def _opa_server(building: Building, url: str) -> Built[PolicyEngine]:
    transport = CoreTransport(limit=OPA_CONNECTIONS, tls=_contexts(building, "opa", url))
    client = make_http_client(transport)
    building.closing.push_async_callback(client.aclose)
    policy = OpaPolicy(client, url, building.settings.policy_budget)
    return built_policy(policy, partial(samples.pool, POLICY.name, transport))


def built_policy(policy: PolicyEngine, *sources: samples.SampleSource) -> Built[PolicyEngine]:
    """Any engine there is: what it reloads are its own files, whatever the settings."""

    async def reload(_fresh: Settings) -> None:
        await policy.reload()

    return Built(policy, policy.check, sources, policy.faults, reload)


def _compile_policy(settings: Settings) -> None:
    """So that one process compiles for all workers. What is wrong they say in their readiness."""
    if settings.services_opa is None:
        with contextlib.suppress(PolicyBroken):
            compile_ahead(settings.policy_dir)


def _compile_and_share(settings: Settings) -> None:
    _compile_policy(settings)
    share_from_here()


POLICY: Dependency[PolicyEngine] = Dependency(
    "policy",
    _policy,
    spans=frozenset({"decide"}),
    pooled=True,
    before_fork=_compile_and_share,
    before_reload=_compile_policy,
)


# --- the object storage: documents, and API keys in a bucket of their own ------------------------


def _s3_client(building: Building, access: S3Access) -> S3Client:
    client = S3Client(access)
    building.closing.callback(client.close)
    building.tls.on_change("s3", access.tls, client.renew)
    return client


async def _storage(building: Building) -> Built[ObjectStore]:
    settings = building.settings
    client = _s3_client(building, documents_access(settings))
    store = S3ObjectStore(client, public_access(settings), settings.s3_bucket)
    building.closing.callback(store.close)

    async def reload(fresh: Settings) -> None:
        client.use(documents_access(fresh))
        store.sign_for(public_access(fresh))

    return Built(store, _by_deadline(store.check), reload=reload)


def _make_storage_clients(settings: Settings) -> None:
    for access in (documents_access(settings), public_access(settings)):
        make_client(access)


STORAGE: Dependency[ObjectStore] = Dependency(
    "storage",
    _storage,
    spans=frozenset(
        {"create_multipart", "complete_multipart", "abort_multipart", "head", "delete"}
    ),
    reloaded=frozenset({"s3_access_key", "s3_secret_key"}),
    before_fork=_make_storage_clients,
)


async def _keys(building: Building) -> Built[KeyStore]:
    client = _s3_client(building, keys_access(building.settings))
    store = S3KeyStore(client, building.settings.s3_keys_bucket)

    async def reload(fresh: Settings) -> None:
        client.use(keys_access(fresh))

    return Built(store, _by_deadline(store.check), reload=reload)


def _make_keys_client(settings: Settings) -> None:
    make_client(keys_access(settings))


KEYS: Dependency[KeyStore] = Dependency(
    "keys",
    _keys,
    spans=frozenset({"get", "create", "replace", "overwrite", "list", "remove"}),
    reloaded=frozenset({"s3_keys_access_key", "s3_keys_secret_key"}),
    before_fork=_make_keys_client,
)


# --- revocations: the keys' bucket, and Redis where it is set ------------------------------------


async def _revocations(building: Building) -> Built[RevocationWays]:
    client = _s3_client(building, revocations_access(building.settings))
    ways, reload = ways_out(building, client)
    return Built(ways, _by_deadline(ways.check), reload=reload)


REVOCATIONS: Dependency[RevocationWays] = Dependency(
    "revocations",
    _revocations,
    reloaded=revocation_ways.RELOADED,
    before_fork=revocation_ways.prepare,
)


# --- Temporal ------------------------------------------------------------------------------------


async def _temporal(building: Building) -> Built[Workflows]:
    access = temporal_access(building.settings)
    workflows = await TemporalWorkflows.connect(access)
    if access.tls is not None:

        def renew() -> None:
            building.tasks.spawn(workflows.renew(access), "renew temporal's connection")

        building.tls.on_change("temporal", access.tls, renew)
    return Built(workflows, _by_deadline(workflows.check))


TEMPORAL: Dependency[Workflows] = Dependency(
    "temporal",
    _temporal,
    spans=frozenset({"start", "describe", "progress", "signal_completed", "cancel", "list_open"}),
)


# Built in this order, closed in the opposite one.
DEPENDENCIES: tuple[Dependency[Any], ...] = (
    CORE,
    POLICY,
    STORAGE,
    KEYS,
    REVOCATIONS,
    TEMPORAL,
    STATE,
    REPLICA,
    USAGE,
    PEOPLE,
    PROVIDER,
)


def names(settings: Settings) -> tuple[str, ...]:
    """Of those that can be down."""
    return tuple(one.name for one in DEPENDENCIES if one.watched(settings))


def pool_names() -> tuple[str, ...]:
    return tuple(one.name for one in DEPENDENCIES if one.pooled)


def reloaded_settings() -> frozenset[str]:
    """The settings of dependencies that a reload takes over."""
    return frozenset().union(*(one.reloaded for one in DEPENDENCIES))


def before_fork(settings: Settings) -> None:
    for one in DEPENDENCIES:
        one.before_fork(settings)


def before_reload(settings: Settings) -> None:
    for one in DEPENDENCIES:
        one.before_reload(settings)
