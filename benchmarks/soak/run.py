"""The soak as a scenario: a gateway of two workers with real S3 and Temporal, before the stub core.

First it warms up, so that what is taken only once is taken: code paths, caches, the storage's
connections, the heap. Then everything rests, is sampled, is loaded for the rest of the time, rests
again and is sampled again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.bench import Bench, Running
from benchmarks.peers import PEERS
from benchmarks.scenarios import Say
from benchmarks.soak import verdict
from benchmarks.soak.mix import Mix, Tally
from benchmarks.soak.samples import Sample, Series, Watched, sampling
from benchmarks.summary import table
from devstack.components import free_port
from devstack.environment import DOCUMENTS_BUCKET, KEYS_BUCKET
from devstack.stack import Stack

SCENARIO = "soak"
WORKERS = 2
USERS = 500
# In a soak two workers took their last 3 MiB in the first 20 minutes, 0.1 MiB in the 15 after them.
WARM_SHARE, WARM_LEAST_S, WARM_MOST_SHARE = 0.2, 1200.0, 0.4
# Longer than idle connections to the core are kept, and than a count of tasks is old.
REST_S = 20.0
SAID_EVERY_S = 60.0
# The users' tokens last a day.
MOST_HOURS = 23.0
COLUMNS = ("rss_kib", "pss_kib", "files", "threads", "tasks", "connections", "streams")


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of a soak: ``before`` and ``after`` are at rest."""

    before: Sample
    after: Sample
    series: Series
    tally: Tally
    seconds: float

    def lines(self) -> dict[str, verdict.Line | None]:
        at = self.series.times_s
        figures = self.series.samples[0] if self.series.samples else {}
        return {
            name: verdict.fit(*verdict.blocks(at, self.series.column(name))) for name in figures
        }

    def faults(self) -> list[str]:
        found = verdict.faults(self.lines(), self.before, self.after)
        return found + verdict.too_many_failed(self.tally.done, self.tally.failed)


async def run(hours: float, folder: Path, say: Say) -> int:
    """Soaks, writes ``soak.json``, prints the verdict; 1 when something leaks.

    Raises:
        Missing, StartFailed: of the components.
    """
    machine = results.machine()
    version = await asyncio.to_thread(PEERS["gateway"].prepare)
    async with Stack(parts=("s3", "temporal"), announce=say) as stack:
        settings = _settings(stack)
        async with (
            Bench.open(
                users=USERS, needs_opa=False, workers=WORKERS, gateway_settings=settings
            ) as bench,
            bench.running(PEERS["gateway"]) as system,
        ):
            port = int(settings["GATEWAY_ADMIN_LISTEN_PORT"])
            soaked = await soak(bench, system, Watched(system.pid, port), hours, say)
        parts = {info.name: f"{info.product} {info.version}" for info in stack.table()}
    found = document(soaked, machine, {"gateway": version, **parts}, hours)
    path = results.write(SCENARIO, found, folder)
    print(printed(found))
    print(path)
    return 1 if found["faults"] else 0


def _settings(stack: Stack) -> dict[str, str]:
    account = stack.secrets.gateway_store
    return {
        "GATEWAY_ADMIN_LISTEN_PORT": str(free_port()),
        "GATEWAY_SERVICES_TEMPORAL": stack.address("temporal"),
        "GATEWAY_S3_ENDPOINT": stack.address("s3"),
        "GATEWAY_S3_REGION": account.region,
        "GATEWAY_S3_BUCKET": DOCUMENTS_BUCKET,
        "GATEWAY_S3_KEYS_BUCKET": KEYS_BUCKET,
        "GATEWAY_S3_ACCESS_KEY": account.access_key,
        "GATEWAY_S3_SECRET_KEY": account.secret_key,
    }


async def soak(bench: Bench, system: Running, watched: Watched, hours: float, say: Say) -> Soaked:
    seconds = hours * verdict.HOUR_S
    warm_s = warming_s(seconds)
    mix = Mix(bench, system)
    say(f"soak: {warm_s:.0f} s of warming up, {seconds - warm_s:.0f} s measured")
    warm_until = time.monotonic() + warm_s
    await mix.fill(warm_s / 2)
    await mix.run(warm_until - time.monotonic())
    mix.tally = Tally()
    await asyncio.sleep(REST_S)
    before, began = await watched.sample(), time.monotonic()
    async with sampling(watched) as series:
        telling = asyncio.create_task(_tell(series, mix.tally, say), name="soak lines")
        try:
            await mix.run(seconds - warm_s)
        finally:
            telling.cancel()
    took = time.monotonic() - began
    await asyncio.sleep(REST_S)
    return Soaked(before, await watched.sample(), series, mix.tally, took)


def warming_s(seconds: float) -> float:
    """How long of so many seconds is not judged."""
    return min(max(seconds * WARM_SHARE, WARM_LEAST_S), seconds * WARM_MOST_SHARE)


async def _tell(series: Series, tally: Tally, say: Say) -> None:
    while True:
        await asyncio.sleep(SAID_EVERY_S)
        last = series.samples[-1] if series.samples else {}
        shown = "  ".join(f"{name} {last[name]:g}" for name in COLUMNS if name in last)
        say(f"soak: {shown}  done {tally.done.total()}  failed {tally.failed.total()}")


def document(
    soaked: Soaked, machine: Mapping[str, Any], versions: Mapping[str, str], hours: float
) -> dict[str, Any]:
    """The result file: slopes and rests in its row, the minutes' means under ``minutes``."""
    lines = soaked.lines()
    row: dict[str, Any] = {"system": "gateway", "streams": 0, "round": 0, "hours": hours}
    for name, line in lines.items():
        row |= {f"{name}_before": soaked.before[name], f"{name}_after": soaked.after[name]}
        if line is not None:
            row |= {
                f"{name}_per_h": round(line.slope, 2),
                f"{name}_per_h_error": round(line.error, 2),
            }
    row |= {"done": soaked.tally.done.total(), "failed": soaked.tally.failed.total()}
    found = results.document(
        SCENARIO,
        [row],
        machine=machine,
        versions=versions,
        conditions={"hours": hours, "measured_s": round(soaked.seconds), "workers": WORKERS},
    )
    return found | {
        "faults": soaked.faults(),
        "undecided": verdict.undecided(lines),
        "done": dict(soaked.tally.done),
        "failures": dict(soaked.tally.failed),
        "samples": len(soaked.series.samples),
        "samples_missed": soaked.series.missed,
        "minutes": _minutes(soaked.series),
    }


def _minutes(series: Series) -> dict[str, list[float]]:
    """A column a figure, a value a minute."""
    figures = series.samples[0] if series.samples else {}
    means = {name: verdict.blocks(series.times_s, series.column(name))[1] for name in figures}
    return {name: [round(value, 1) for value in values] for name, values in means.items()}


def shown(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a figure: at rest before and after, and its slope."""
    row = result["rows"][0]
    return [
        {
            "figure": rule.words,
            "before": f"{row[f'{rule.figure}_before']:g}",
            "after": f"{row[f'{rule.figure}_after']:g}",
            "an hour": _slope(row, rule.figure),
            "allowed": "–" if rule.per_hour is None else f"{rule.per_hour:g}",
        }
        for rule in verdict.RULES
    ]


def _slope(row: Mapping[str, Any], figure: str) -> str:
    if f"{figure}_per_h" not in row:
        return "–"
    return f"{row[f'{figure}_per_h']:,.0f} ± {row[f'{figure}_per_h_error']:,.0f}"


def printed(result: Mapping[str, Any]) -> str:
    """The table and the verdict."""
    rows = shown(result)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(result["done"].items()))
    said: Sequence[str] = [f"LEAK? {fault}" for fault in result["faults"]] or ["nothing grew"]
    if result["undecided"]:
        said = [*said, f"too short or too noisy to tell a slope: {', '.join(result['undecided'])}"]
    return "\n".join([table(rows, tuple(rows[0])), f"done: {kinds}", *said])
