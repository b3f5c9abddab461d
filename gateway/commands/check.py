"""``gateway check``: every setting and its origin, every fault, and which dependencies answer.

What is printed is fit for a support ticket: of a secret only whether it is set.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.settings import SPECS, Fault, Reading, Settings, Spec
from gateway.settings.faults import printable
from gateway.settings.tls_settings import out_of_date_faults

Check = Callable[[], Awaitable[None]]

# A dependency may be slow at the first question, when connections are still to be made.
PROBE_LIMIT_S = 5.0
PROBE_TRIES = 3
REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class Probe:
    """The outcome of asking one dependency. ``fault`` is ``None`` when it answered well.

    ``note`` is what else it said of itself, with a comma before it.
    """

    name: str
    latency_s: float
    fault: str | None
    note: str = ""

    def __str__(self) -> str:
        if self.fault is None:
            return f"  {self.name:<10} ok, {self.latency_s * 1000:.0f} ms{self.note}"
        return f"  {self.name:<10} FAILED: {self.fault}"


def settings_lines(
    reading: Reading, faults: Sequence[Fault], policy: object | None = None
) -> Iterator[str]:
    """Every setting under its group's title, what the policy in use is, and then ``faults``."""
    width = max(len(spec.env or "") for spec in SPECS.values())
    title = ""
    for attribute, spec in SPECS.items():
        if spec.group != title:
            title = spec.group
            yield f"\n{title}"
        yield printable(f"  {spec.env:<{width}}  {_shown(reading, attribute, spec)}")
    if policy is not None:
        yield from map(printable, str(policy).splitlines())
    yield ""
    if not faults:
        yield "The settings are good."
        return
    yield f"{len(faults)} to mend:"
    yield from (f"  {fault}" for fault in faults)


def all_faults(reading: Reading) -> list[Fault]:
    """All that stops a start, and certificates that are out of date."""
    faults = [*reading.faults, *out_of_date_faults(reading.values, time.time())]
    if reading.faults:
        return faults
    # Imported here: it imports structlog, which `serve` must do with some packages hidden.
    from gateway.commands.start_faults import start_faults

    return [*faults, *start_faults(Settings(**reading.values))]


def _shown(reading: Reading, attribute: str, spec: Spec) -> str:
    """``8080 [default]``; a secret is ``set`` or ``unset``."""
    origin = reading.origins.get(attribute, "missing")
    if origin == "missing":
        return "unset [missing]"
    if spec.secret:
        # A secret that was given and cannot be used is in `origins` and not in `values`.
        given = not origin.startswith("default")
        present = given or reading.values.get(attribute) is not None
        return f"{'set' if present else 'unset'} [{origin}]"
    text = reading.texts.get(attribute, "") or ("none" if spec.default == "" else "unset")
    return f"{text} [{origin}]"


async def probe_all(checks: Mapping[str, Check]) -> list[Probe]:
    """Asks every dependency at once; takes as long as the slowest, at most the limit."""
    return list(await asyncio.gather(*(_probe(name, check) for name, check in checks.items())))


async def _probe(name: str, check: Check) -> Probe:
    started_s = time.monotonic()
    fault: str | None = None
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            for _ in range(PROBE_TRIES):
                fault = await _ask(check)
                if fault is None:
                    break
    except TimeoutError:
        fault = fault or f"no answer within {PROBE_LIMIT_S:g} s"
    return Probe(name, time.monotonic() - started_s, fault)


async def _ask(check: Check) -> str | None:
    """Why ``check`` failed, or ``None``; with the cause, which no client ever sees."""
    try:
        await check()
    except GatewayError as problem:
        cause = problem.__cause__
        because = f" ({type(cause).__name__}: {cause})" if cause is not None else ""
        return _in_a_line(f"{problem.code}: {problem.message}{because}")
    except TimeoutError:
        raise
    except Exception as problem:
        return _in_a_line(f"{type(problem).__name__}: {problem}")
    return None


def _in_a_line(reason: str) -> str:
    """Policy engines and drivers give reasons of several lines."""
    return " ".join(reason.split())[:REASON_CHARS]


async def connect(settings: Settings) -> list[Probe]:
    """Builds the services as a worker does and asks every dependency, the users file too."""
    # Imported here, because the command without --connect needs none of the vendors' clients.
    from gateway.edge.tasks import Tasks
    from gateway.wiring.services import build_services

    users = _probe_users(settings)
    if users.fault is not None:
        # The dependencies are asked all the same; for that nobody needs an account.
        settings = dataclasses.replace(settings, users_file=None)
    tasks = Tasks()
    services = await build_services(settings, tasks)
    try:
        probes = await probe_all(services.checks())
        notes = {probe.name: services.dependencies.note(probe.name) for probe in probes}
        notes["policy"] = f"revision {services.policy.revision}"
        return [users, *(_with_note(probe, notes[probe.name]) for probe in probes)]
    finally:
        await tasks.stop()
        await services.aclose()


def _with_note(probe: Probe, note: str) -> Probe:
    return dataclasses.replace(probe, note=f", {note}") if note else probe


def _probe_users(settings: Settings) -> Probe:
    from gateway.wiring.accounts import UsersFileError, build_users

    started_s = time.monotonic()
    fault: str | None = None
    try:
        build_users(settings)
    except UsersFileError as problem:
        fault = str(problem)
    return Probe("users", time.monotonic() - started_s, fault)
