"""What one worker is given: use cases over ports, put together from the settings.

The adapters behind the ports are declared in ``dependencies``. ``build_services`` needs a running
event loop, because the clients of the dependencies belong to one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from gateway import __version__
from gateway.adapters import argon2_passwords
from gateway.adapters.argon2_passwords import Argon2Passwords
from gateway.adapters.clock import SystemClock
from gateway.adapters.policy_cache import CachedPolicy
from gateway.adapters.revocation_board import RevocationBoard
from gateway.adapters.users_entries import UsersFileError
from gateway.adapters.users_file import UsersFile
from gateway.domain.actions import ACTIONS
from gateway.flows.answer_stream import Query
from gateway.flows.authenticate import Authenticator
from gateway.flows.documents import Documents
from gateway.flows.health import Check, Health
from gateway.flows.keys import Keys
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.leases import Leases
from gateway.flows.limits import Limits
from gateway.flows.login import Login
from gateway.flows.login_delays import LoginDelays
from gateway.flows.logout import Logout
from gateway.flows.probe_stream import Probe
from gateway.flows.recheck import Recheck
from gateway.flows.repeats import Repeats
from gateway.flows.revocations import Revocations
from gateway.flows.search import Search
from gateway.flows.unknown_keys import UnknownKeys
from gateway.flows.uploads import Uploads
from gateway.flows.usage import Usage
from gateway.flows.usage_report import UsageReport
from gateway.ports import Clock, PasswordVerifier
from gateway.settings import Settings
from gateway.telemetry import samples
from gateway.telemetry.samples import SampleSource
from gateway.telemetry.tracing import Tracer
from gateway.tls.outgoing import OutgoingTls
from gateway.wiring import dependencies
from gateway.wiring.accounts import Accounts, build_users, users_found
from gateway.wiring.answers import answer_cache, import_cache
from gateway.wiring.company import company_method, key_owners, rules_after, sign_in_of
from gateway.wiring.dependencies import CORE, KEYS, POLICY, REVOCATIONS, STORAGE, TEMPORAL
from gateway.wiring.dependency import (
    Building,
    BuiltDependencies,
    Dependency,
    Spawn,
    build_all,
)
from gateway.wiring.from_settings import (
    delay_rules,
    key_checksums,
    stream_limits,
    token_settings,
    unknown_key_rate,
    upload_rules,
)
from gateway.wiring.reload import needing_restart
from gateway.wiring.repeats import requests_sent_again
from gateway.wiring.shared_state import REPLICA, STATE
from gateway.wiring.usage import counts_tokens, usage_of

if TYPE_CHECKING:
    # Loaded only where the company's sign-in is on.
    from gateway.flows.browser_sign_in import BrowserSignIn
    from gateway.flows.company_method import CompanyMethod

log = structlog.get_logger("gateway.services")


@dataclass(frozen=True, slots=True)
class Local:
    """What a worker runs on that is in its own process: nothing of it can be down.

    ``closing`` takes what has to be closed; that of the dependencies is added to it. ``board`` is
    shared with the replica's other workers where it was made before the fork.
    """

    clock: Clock
    users: UsersFile
    passwords: PasswordVerifier
    board: RevocationBoard = field(default_factory=RevocationBoard)
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)


@dataclass(slots=True)
class Services:
    """What handlers and the pipeline are given."""

    clock: Clock
    policy: CachedPolicy
    authenticator: Authenticator
    company: CompanyMethod | None
    sign_in: BrowserSignIn | None
    reload_sign_in: Callable[[Settings], None]
    login: Login
    logout: Logout
    keys: Keys
    uploads: Uploads
    documents: Documents
    query: Query
    search: Search
    probe: Probe
    recheck: Recheck
    revocations: Revocations
    leases: Leases
    limits: Limits | None
    usage: Usage | None
    usage_report: UsageReport
    repeats: Repeats
    reload_repeats: Callable[[Settings], None]
    health: Health
    users: UsersFile
    tls: OutgoingTls
    dependencies: BuiltDependencies
    settings: Settings
    sample_sources: list[SampleSource]
    tracer: Tracer | None
    closing: AsyncExitStack
    # One at a time, in their order: of two at once, the earlier could end last and stay.
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def know_revocations(self) -> None:
        """Before this worker is ready. Never fails."""
        await self.revocations.begin(self.users.accounts)

    async def reload(self, settings: Settings) -> None:
        """Takes over other secrets, users and policy: all of them, or none where one is wrong."""
        async with self.reloading:
            await self._take_over(settings)

    async def _take_over(self, settings: Settings) -> None:
        users, faults = users_found(settings)
        faults += await self.dependencies.faults()
        if users is None or faults:
            for fault in faults:
                log.error("reload: a fault", fault=fault)
            log.error("reload failed; the old settings stay", faults=len(faults))
            return
        accounts = self.users.accounts
        self.users.adopt(users)
        self.revocations.accounts_changed(accounts, self.users.accounts)
        await self.dependencies.reload(settings)
        self.reload_repeats(settings)
        self.policy.clear()
        self.login.tokens = tokens = token_settings(settings)
        self.authenticator.use_tokens(tokens)
        if self.company is not None:
            self.company.use_rules(rules_after(self.company.rules, settings))
        self.reload_sign_in(settings)
        self.keys.checksums = checksums = key_checksums(settings)
        self.authenticator.use_checksums(checksums)
        before, self.settings = self.settings, settings
        log.info("reloaded", users=len(self.users), policy=self.policy.revision)
        if needing := needing_restart(before, settings):
            log.warning("a restart is needed for some settings", settings=needing)

    def reload_if_changed(self) -> None:
        """Takes over changed users and certificates; bad files are logged and change nothing."""
        self.tls.reload_if_changed()
        accounts = self.users.accounts
        try:
            if self.users.reload_if_changed():
                self.revocations.accounts_changed(accounts, self.users.accounts)
                log.info("users reloaded", users=len(self.users))
        except UsersFileError as exc:
            log.error("users file not taken over", reason=str(exc))

    def checks(self) -> Mapping[str, Check]:
        """What readiness watches and ``gateway check --connect`` probes."""
        return self.health.checks

    async def aclose(self) -> None:
        """Closes every connection and thread, the last made first."""
        await self.closing.aclose()


async def build_services(
    settings: Settings,
    tasks: Spawn,
    accounts: Accounts | None = None,
    board: RevocationBoard | None = None,
) -> Services:
    """The real thing, on real components.

    Args:
        accounts: those to go on with where the users file has become wrong.
        board: what the workers of a replica share; without it there is one worker.

    Raises:
        UsersFileError: the users file is missing or wrong, and there are no such accounts.
    """
    users = build_users(settings) if accounts is None else accounts.users_for(settings)
    passwords = Argon2Passwords(settings.login_waiting)
    local = Local(SystemClock(), users, passwords, board or RevocationBoard())
    local.closing.callback(passwords.close)
    return await assemble(settings, tasks, local, dependencies.DEPENDENCIES)


async def assemble(
    settings: Settings, tasks: Spawn, local: Local, declared: Iterable[Dependency[Any]]
) -> Services:
    """The use cases over whatever dependencies there are; tests bring stand-ins for some of them.

    What was made is closed again where something after it cannot be built.
    """
    building = Building(settings, OutgoingTls(), tasks, local.closing)
    try:
        tracer = _tracer(settings, local.closing)
        built = await build_all(declared, building, tracer)
        return _services(building, local, built, tracer)
    except BaseException:
        await local.closing.aclose()
        raise


def _services(
    building: Building, local: Local, built: BuiltDependencies, tracer: Tracer | None
) -> Services:
    settings, clock, users = building.settings, local.clock, local.users
    core, store = built.adapter(CORE), built.adapter(STORAGE)
    key_store, workflows = built.adapter(KEYS), built.adapter(TEMPORAL)
    tokens = token_settings(settings)
    known = KnownRevocations(local.board, clock)
    ways = built.adapter(REVOCATIONS)
    revocations = Revocations(known, ways.store, local.board, clock, ways.announcements)
    policy = CachedPolicy(
        built.adapter(POLICY),
        clock,
        ttl_s=settings.policy_ttl,
        max_entries=settings.policy_cache_entries,
        immediate=settings.services_opa is None,
    )
    authenticator = Authenticator(
        users,
        tokens,
        key_store,
        clock,
        known,
        key_ttl_s=settings.keys_cache_ttl,
        max_keys=settings.keys_cache_entries,
        max_tokens=settings.token_cache_entries,
        checksums=(checksums := key_checksums(settings)),
        unknown=_unknown_keys(settings, built),
        company=key_owners(settings, built),
    )
    company, company_samples = company_method(building, built, authenticator, known, clock)
    sign_in, reload_sign_in, sign_in_samples = sign_in_of(
        building, built, company, authenticator, known, clock
    )
    recheck = Recheck(
        authenticator,
        policy,
        clock,
        recheck_s=settings.stream_recheck,
        answer_s=max(settings.io_deadline, settings.policy_budget),
    )
    known.on_change(recheck.wake)
    known.on_key_change(recheck.key_changed)
    leases = Leases(built.adapter(STATE))
    limits = _limits(settings, built, leases, clock)
    usage = usage_of(building, built, clock)
    delays = _delays(settings, built)
    repeats, reload_repeats = requests_sent_again(building, clock)
    answers = answer_cache(settings, core, policy, clock, building.tasks)
    return Services(
        clock=clock,
        policy=policy,
        authenticator=authenticator,
        company=company,
        sign_in=sign_in,
        reload_sign_in=reload_sign_in,
        login=Login(users, local.passwords, tokens, clock, known, limits, delays),
        logout=Logout(authenticator, revocations, clock),
        keys=Keys(key_store, clock, revocations, actions=ACTIONS, checksums=checksums),
        uploads=Uploads(
            store=store,
            workflows=workflows,
            core=core,
            clock=clock,
            rules=upload_rules(settings),
            spawn=building.tasks.spawn,
            base_path=settings.public_url or "",
        ),
        documents=Documents(store=store, workflows=workflows, core=core),
        query=Query(core, clock, stream_limits(settings), answers),
        search=Search(core),
        probe=Probe(built.adapter(STATE), leases, clock, stream_limits(settings)),
        recheck=recheck,
        revocations=revocations,
        leases=leases,
        limits=limits,
        usage=usage,
        usage_report=UsageReport(limits, usage, clock),
        repeats=repeats,
        reload_repeats=reload_repeats,
        health=Health(built.checks, clock),
        users=users,
        tls=building.tls,
        dependencies=built,
        settings=settings,
        sample_sources=[
            *built.samples,
            lambda: samples.limits(
                sum(one.unchecked for one in (limits, delays) if one is not None)
            ),
            partial(
                samples.caches, policy.count, authenticator.token_count, authenticator.key_count
            ),
            partial(samples.revocations, revocations),
            partial(samples.repeats, repeats.counts),
            *(() if answers is None else (partial(samples.answers, answers.count),)),
            *(() if usage is None else (partial(samples.tokens, usage),)),
            *company_samples,
            *sign_in_samples,
        ],
        tracer=tracer,
        closing=building.closing,
    )


def _limits(
    settings: Settings, built: BuiltDependencies, leases: Leases, clock: Clock
) -> Limits | None:
    """``None`` where no limit is set and no tokens are counted: then nothing asks."""
    if not settings.limits and not counts_tokens(settings):
        return None
    shared, replica = built.adapter(STATE), built.adapter(REPLICA)
    return Limits(
        settings.limits,
        shared=shared,
        replica=replica,
        leases=leases,
        clock=clock,
        counts_tokens=counts_tokens(settings),
    )


def _delays(settings: Settings, built: BuiltDependencies) -> LoginDelays | None:
    """``None`` where failed logins cost no delay."""
    if not settings.login_longest_delay:
        return None
    return LoginDelays(built.adapter(STATE), delay_rules(settings))


def _unknown_keys(settings: Settings, built: BuiltDependencies) -> UnknownKeys:
    return UnknownKeys(
        built.adapter(REPLICA),
        unknown_key_rate(settings),
        in_flight=settings.keys_unknown_in_flight,
        max_known=settings.keys_cache_entries,
    )


def _tracer(settings: Settings, closing: AsyncExitStack) -> Tracer | None:
    """``None`` unless a collector is named."""
    if settings.otlp_endpoint is None:
        return None
    # OpenTelemetry costs 6 MB to import and comes with an extra.
    from gateway.adapters.otel import OtelTracer

    tracer = OtelTracer(settings.otlp_endpoint, settings.otlp_sample, __version__)
    closing.push_async_callback(tracer.aclose)
    return tracer


def new_board() -> RevocationBoard:
    """Made in the process that workers are forked from: what one of them revokes, all know."""
    return RevocationBoard()


def import_for(settings: Settings) -> None:
    """Imports and makes what workers with these settings share; starts nothing.

    Called once in the process they are forked from, so that it is in memory once.
    """
    argon2_passwords.one_at_a_time()
    if settings.otlp_endpoint is not None:
        import gateway.adapters.otel  # noqa: F401
    import_cache(settings)
    dependencies.before_fork(settings)
