"""Everything one worker runs on, built from the settings: the one place that chooses adapters.

``build_services`` needs a running event loop, because the clients it makes belong to one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Protocol

import structlog

from gateway import API_PREFIX
from gateway.adapters import argon2_passwords, s3_client
from gateway.adapters.argon2_passwords import Argon2Passwords
from gateway.adapters.clock import SystemClock
from gateway.adapters.core_http import CoreHttp, CoreTimeouts
from gateway.adapters.opa import OpaPolicy
from gateway.adapters.policy_cache import CachedPolicy
from gateway.adapters.rego import RegoPolicy, default_policy_dir, load_regopy
from gateway.adapters.s3 import S3ObjectStore
from gateway.adapters.s3_client import S3Client
from gateway.adapters.s3_keys import S3KeyStore
from gateway.adapters.temporal import TemporalWorkflows
from gateway.adapters.users_file import UsersFile, UsersFileError
from gateway.domain.actions import ACTIONS
from gateway.domain.balancing import Balancer
from gateway.errors import PolicyBroken
from gateway.flows.answer_stream import Query
from gateway.flows.authenticate import Authenticator
from gateway.flows.documents import Documents
from gateway.flows.health import Check, Health
from gateway.flows.keys import Keys
from gateway.flows.login import Login
from gateway.flows.recheck import Recheck
from gateway.flows.uploads import Uploads
from gateway.http_client.client import make_client
from gateway.http_client.discovery import Discovery, Lookup, NoLookup
from gateway.http_client.transport import CoreTransport
from gateway.ports import (
    Clock,
    Core,
    KeyStore,
    ObjectStore,
    PasswordVerifier,
    Policy,
    Workflows,
)
from gateway.settings import Settings
from gateway.telemetry import readings
from gateway.telemetry.readings import Source
from gateway.telemetry.tracing import Tracer
from gateway.tls.outgoing import OutgoingTls
from gateway.wiring.accounts import Accounts, build_users, users_found
from gateway.wiring.from_settings import (
    documents_access,
    keys_access,
    public_access,
    stream_limits,
    temporal_access,
    token_settings,
    upload_rules,
)
from gateway.wiring.reload import needing_restart, policy_faults
from gateway.wiring.with_tracing import traced

log = structlog.get_logger("gateway.services")

# OPA answers in half a millisecond: a few dozen connections carry tens of thousands of questions.
OPA_CONNECTIONS = 64
# Health checks share one deadline; it is a little less than the health round's own limit.
CHECK_DEADLINE_S = 0.75


class Spawn(Protocol):
    """Runs background work under a name; ``edge.tasks.Tasks`` is the real one."""

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]: ...


@dataclass(slots=True)
class Services:
    """What handlers and the pipeline are given."""

    clock: Clock
    policy: CachedPolicy
    authenticator: Authenticator
    login: Login
    keys: Keys
    uploads: Uploads
    documents: Documents
    query: Query
    recheck: Recheck
    health: Health
    users: UsersFile
    tls: OutgoingTls
    adapters: Adapters
    settings: Settings
    readings: list[Source] = field(default_factory=list)
    tracer: Tracer | None = None

    async def reload(self, settings: Settings) -> None:
        """Takes over other secrets, users and policy: all of them, or none where one is wrong."""
        users, faults = users_found(settings)
        faults += await policy_faults(self.adapters.policy)
        if users is None or faults:
            for fault in faults:
                log.error("reload: a fault", fault=fault)
            log.error("reload failed; the old settings stay", faults=len(faults))
            return
        self.users.adopt(users)
        if isinstance(self.adapters.policy, RegoPolicy):
            await self.adapters.policy.reload()
        self.policy.clear()
        self.login.tokens = tokens = token_settings(settings)
        self.authenticator.use_tokens(tokens)
        for take_over in self.adapters.reloaders:
            take_over(settings)
        before, self.settings = self.settings, settings
        log.info("reloaded", users=len(self.users), policy=self.policy.revision)
        if needing := needing_restart(before, settings):
            log.warning("a restart is needed for some settings", settings=needing)

    def reload_if_changed(self) -> None:
        """Takes over changed users and certificates; bad files are logged and change nothing."""
        self.tls.reload_if_changed()
        try:
            if self.users.reload_if_changed():
                log.info("users reloaded", users=len(self.users))
        except UsersFileError as exc:
            log.error("users file not taken over", reason=str(exc))

    def checks(self) -> Mapping[str, Check]:
        """What readiness watches and ``gateway check --connect`` probes."""
        return self.health.checks

    async def aclose(self) -> None:
        """Lets go of every connection and thread, the last made first."""
        for close in reversed(self.adapters.closers):
            result = close()
            if asyncio.iscoroutine(result):
                await result


@dataclass(slots=True)
class Adapters:
    """The outside world of one worker: what implements the ports, and how to let go of it."""

    clock: Clock
    users: UsersFile
    passwords: PasswordVerifier
    policy: Policy
    core: Core
    store: ObjectStore
    workflows: Workflows
    key_store: KeyStore
    tls: OutgoingTls = field(default_factory=OutgoingTls)
    closers: list[Callable[[], Any]] = field(default_factory=list)
    readings: list[Source] = field(default_factory=list)
    reloaders: list[Callable[[Settings], None]] = field(default_factory=list)


async def build_services(
    settings: Settings, tasks: Spawn, accounts: Accounts | None = None
) -> Services:
    """The real thing, on real components.

    Args:
        accounts: stay where the users file has become wrong.

    Raises:
        UsersFileError: the users file is missing or wrong, and there is nothing to stay with.
    """
    return assemble(settings, await build_adapters(settings, tasks, accounts), tasks)


async def build_adapters(
    settings: Settings, tasks: Spawn, accounts: Accounts | None = None
) -> Adapters:
    closers: list[Callable[[], Any]] = []
    sources: list[Source] = []
    tls = OutgoingTls()
    documents_s3 = S3Client(documents_access(settings))
    keys_s3 = S3Client(keys_access(settings))
    for client in (documents_s3, keys_s3):
        tls.tell("s3", settings.tls_files("s3"), client.renew)
    store = S3ObjectStore(documents_s3, public_access(settings), settings.s3_bucket)
    core = await _core(settings, tls, closers, sources)
    passwords = Argon2Passwords(settings.login_waiting)
    closers += [documents_s3.close, keys_s3.close, store.close, passwords.close]
    return Adapters(
        clock=SystemClock(),
        users=build_users(settings) if accounts is None else accounts.users_for(settings),
        passwords=passwords,
        policy=_policy(settings, tls, closers, sources),
        core=core,
        store=store,
        workflows=await _workflows(settings, tls, tasks),
        key_store=S3KeyStore(keys_s3, settings.s3_keys_bucket),
        tls=tls,
        closers=closers,
        readings=sources,
        reloaders=[
            lambda fresh: documents_s3.use(documents_access(fresh)),
            lambda fresh: keys_s3.use(keys_access(fresh)),
            lambda fresh: store.sign_for(public_access(fresh)),
            lambda fresh: core.use_token(fresh.core_token),
        ],
    )


def assemble(settings: Settings, adapters: Adapters, tasks: Spawn) -> Services:
    """The use cases over whatever adapters there are; tests bring some of their own."""
    bare = adapters
    adapters, tracer = traced(settings, adapters, adapters.closers)
    clock = adapters.clock
    tokens = token_settings(settings)
    policy = CachedPolicy(
        adapters.policy,
        clock,
        ttl_s=settings.policy_ttl,
        max_entries=settings.policy_cache_entries,
    )
    authenticator = Authenticator(
        adapters.users,
        tokens,
        adapters.key_store,
        clock,
        key_ttl_s=settings.keys_cache_ttl,
        max_keys=settings.keys_cache_entries,
        max_tokens=settings.token_cache_entries,
    )
    return Services(
        clock=clock,
        policy=policy,
        authenticator=authenticator,
        login=Login(adapters.users, adapters.passwords, tokens, clock),
        keys=Keys(adapters.key_store, clock, actions=ACTIONS),
        uploads=Uploads(
            store=adapters.store,
            workflows=adapters.workflows,
            core=adapters.core,
            clock=clock,
            rules=upload_rules(settings),
            spawn=tasks.spawn,
            base_path=f"{settings.public_url or ''}{API_PREFIX}/documents",
        ),
        documents=Documents(store=adapters.store, workflows=adapters.workflows, core=adapters.core),
        query=Query(adapters.core, clock, stream_limits(settings)),
        recheck=Recheck(authenticator, policy, clock, recheck_s=settings.stream_recheck),
        health=Health(
            {
                "core": adapters.core.check,
                "policy": adapters.policy.check,
                "storage": _within(adapters.store.check),
                "keys": _within(adapters.key_store.check),
                "temporal": _within(adapters.workflows.check),
            },
            clock,
        ),
        users=adapters.users,
        tls=adapters.tls,
        adapters=bare,
        settings=settings,
        readings=[
            *adapters.readings,
            partial(
                readings.caches, policy.count, authenticator.token_count, authenticator.key_count
            ),
        ],
        tracer=tracer,
    )


async def _workflows(settings: Settings, tls: OutgoingTls, tasks: Spawn) -> TemporalWorkflows:
    access = temporal_access(settings)
    workflows = await TemporalWorkflows.connect(access)
    if access.tls is not None:

        def renew() -> None:
            tasks.spawn(workflows.renew(access), "renew temporal's connection")

        tls.tell("temporal", access.tls, renew)
    return workflows


def _policy(
    settings: Settings,
    tls: OutgoingTls,
    closers: list[Callable[[], Any]],
    sources: list[Source],
) -> Policy:
    """An OPA server where one is named, else the same Rego in this process."""
    if settings.services_opa is not None:
        contexts = _contexts(settings, tls, "opa", settings.services_opa)
        transport = CoreTransport(limit=OPA_CONNECTIONS, tls=contexts)
        client = make_client(transport)
        closers.append(client.aclose)
        sources.append(partial(readings.pool, "policy", transport))
        return OpaPolicy(client, settings.services_opa, budget_s=settings.policy_budget)
    rego = RegoPolicy(settings.policy_dir or default_policy_dir(), budget_s=settings.policy_budget)
    closers.append(rego.close)
    return rego


def _contexts(
    settings: Settings, tls: OutgoingTls, peer: str, *addresses: str
) -> Callable[[], ssl.SSLContext] | None:
    """Where nothing is asked over TLS, the system's certificates are not read either."""
    if not any("https://" in address for address in addresses):
        return None
    return tls.context(peer, settings.tls_files(peer))


async def _core(
    settings: Settings,
    tls: OutgoingTls,
    closers: list[Callable[[], Any]],
    sources: list[Source],
) -> CoreHttp:
    contexts = _contexts(settings, tls, "core", *settings.services_core)
    cores = Balancer(Random())
    clock = asyncio.get_running_loop().time
    discovery = Discovery(
        settings.services_core, _lookup(settings), lambda found: cores.update(found, clock())
    )
    closers.append(discovery.aclose)
    await discovery.start()
    transport = CoreTransport(limit=settings.core_connections, tls=contexts)
    closers.append(transport.aclose)
    sources.append(partial(readings.pool, "core", transport))
    core = CoreHttp(
        transport,
        cores,
        settings.core_token,
        timeouts=CoreTimeouts(
            connect_s=settings.core_connect_timeout, call_s=settings.core_timeout
        ),
        body_limit_bytes=settings.answer_limit,
    )
    sources.append(lambda: readings.core(cores, core.retries, clock()))
    return core


def _lookup(settings: Settings) -> Lookup:
    if not any(source.startswith(("dns+", "srv+")) for source in settings.services_core):
        return NoLookup()
    from gateway.http_client.dns_lookup import DnsLookup

    return DnsLookup()


def import_for(settings: Settings) -> None:
    """Imports and makes what workers with these settings share; starts nothing.

    Called once in the process they are forked from, so that it is in memory once.
    """
    if settings.services_opa is None:
        with contextlib.suppress(PolicyBroken):
            load_regopy()
    argon2_passwords.one_at_a_time()
    if settings.otlp_endpoint is not None:
        import gateway.adapters.otel
    if any(source.startswith(("dns+", "srv+")) for source in settings.services_core):
        import gateway.http_client.dns_lookup  # noqa: F401
    for access in (documents_access(settings), keys_access(settings), public_access(settings)):
        s3_client.make_client(access)


def _within(check: Callable[[float], Coroutine[Any, Any, None]]) -> Check:
    """A port's ``check(deadline)`` as a check of its own, with a deadline from now."""

    async def ask() -> None:
        await check(asyncio.get_running_loop().time() + CHECK_DEADLINE_S)

    return ask
