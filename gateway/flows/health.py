"""Whether a worker can take traffic: each dependency is checked in the background.

One that is down is checked more often. A request to ``/readyz`` starts no check: it reads what the
last round found. A dependency that is down makes the gateway ``degraded`` and keeps it ready,
because taking every replica out at once would turn a clear 502 or 503 into a dead address. Only a
broken policy, starting and draining make a worker unready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from gateway.errors import GatewayError, PolicyBroken
from gateway.ports import Clock

State = Literal["unknown", "ok", "down", "broken"]
Check = Callable[[], Awaitable[None]]

INTERVAL_S = 1.0
# A question to S3 costs 2 ms of CPU, most of what an idle gateway uses; and what is up is asked by
# real requests too, so that it need not be checked every second.
HEALTHY_INTERVAL_S = 5.0
CHECK_TIMEOUT_S = 0.8

log = structlog.get_logger("gateway.health")


@dataclass(frozen=True, slots=True)
class DependencyState:
    """What the last check found. ``since`` is in Unix seconds, ``latency_s`` the check's length."""

    state: State = "unknown"
    since: float = 0.0
    latency_s: float | None = None
    reason: str | None = None


class Health:
    """The states of all dependencies, kept fresh by ``run``."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        clock: Clock,
        *,
        interval_s: float = INTERVAL_S,
        healthy_interval_s: float = HEALTHY_INTERVAL_S,
        timeout_s: float = CHECK_TIMEOUT_S,
    ) -> None:
        self.checks = dict(checks)
        self._clock = clock
        self._interval_s = interval_s
        self._healthy_interval_s = max(interval_s, healthy_interval_s)
        self._timeout_s = timeout_s
        self.states: dict[str, DependencyState] = {
            name: DependencyState(since=clock.time()) for name in checks
        }
        self.starting = True
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether this worker may be sent requests."""
        broken = any(found.state == "broken" for found in self.states.values())
        return not (self.starting or self.draining or broken)

    @property
    def status(self) -> Literal["ok", "degraded", "unavailable"]:
        if not self.ready:
            return "unavailable"
        down = any(found.state != "ok" for found in self.states.values())
        return "degraded" if down else "ok"

    async def run(self) -> None:
        """Checks for ever, each dependency in a task of its own: a frozen one delays no other."""
        async with asyncio.TaskGroup() as group:
            for name in self.checks:
                group.create_task(self._watch(name), name=f"health {name}")

    async def check_all(self) -> None:
        """One round of everything, at start-up."""
        await asyncio.gather(*(self._ask(name) for name in self.checks))

    async def _watch(self, name: str) -> None:
        while True:
            healthy = self.states[name].state == "ok"
            await asyncio.sleep(self._healthy_interval_s if healthy else self._interval_s)
            await self._ask(name)

    async def _ask(self, name: str) -> None:
        started_s = self._clock.monotonic()
        state, reason = await self._outcome(name)
        found = DependencyState(
            state=state,
            since=self._clock.time(),
            latency_s=self._clock.monotonic() - started_s,
            reason=reason,
        )
        before = self.states[name]
        if before.state == state:
            found = replace(found, since=before.since)
        else:
            write = log.info if state == "ok" else log.warning
            write("dependency changed", dependency=name, state=state, reason=reason)
        self.states[name] = found

    async def _outcome(self, name: str) -> tuple[State, str | None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.checks[name]()
        except PolicyBroken as exc:
            return "broken", exc.message
        except TimeoutError:
            return "down", f"no answer within {self._timeout_s} s"
        except GatewayError as exc:
            cause = exc.__cause__
            return "down", exc.message if cause is None else f"{type(cause).__name__}: {cause}"
        except Exception as exc:
            # A check that fails unexpectedly must not end the watch over the others.
            log.exception("check failed", dependency=name)
            return "down", type(exc).__name__
        return "ok", None
