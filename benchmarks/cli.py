"""``python -m benchmarks``: the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import (
    asking,
    cores,
    doors,
    limits,
    over_grpc,
    page,
    plots,
    rest,
    results,
    scenarios,
    shapes,
    slow,
    tls,
    workers,
)
from benchmarks.bench import Bench, prepared
from benchmarks.digest import ANSWERED, ANSWERS, code_digest
from benchmarks.peers import DEFAULT_PEERS, PEERS, QUICK_PEERS
from benchmarks.scenarios import Run, Sizes
from benchmarks.soak import run as soak
from devstack.components import Missing
from devstack.processes import StartFailed

SCENARIOS: Mapping[str, Callable[[Run], Awaitable[None]]] = {
    "relay": scenarios.relay,
    "shapes": shapes.shapes,
    "cores": cores.cores,
    "memory": scenarios.memory,
    "many": scenarios.memory,
    "unary": scenarios.unary,
    "storm": scenarios.storm,
    "churn": scenarios.churn,
    "slow": slow.slow,
    "workers": workers.workers,
    "limits": limits.limits,
    "doors": doors.doors,
    "quotas": asking.quotas,
    "kept": asking.kept,
    "tls": tls.tls,
    "grpc": over_grpc.grpc,
}
FULL: Mapping[str, Sizes] = {
    "relay": Sizes(streams=(100, 300)),
    "shapes": Sizes(streams=(100, 300), seconds=8.0),
    "cores": Sizes(streams=(100,), seconds=8.0),
    "memory": Sizes(streams=(2000,), seconds=3.0),
    "many": Sizes(rounds=1, streams=(2000, 5000, 10_000), seconds=3.0),
    "unary": Sizes(),
    "storm": Sizes(streams=(2000,), seconds=3.0),
    "churn": Sizes(rounds=1),
    "slow": Sizes(rounds=1, streams=(4,), seconds=180.0),
    "workers": Sizes(streams=(200,), seconds=8.0),
    "limits": Sizes(rounds=5, seconds=5.0),
    "doors": Sizes(rounds=7, seconds=5.0, streams=(100, 300)),
    "quotas": Sizes(rounds=5, seconds=5.0),
    "kept": Sizes(rounds=7, seconds=3.0, warm_s=1.0),
    "tls": Sizes(rounds=5, seconds=6.0, streams=(100, 300)),
    "grpc": Sizes(rounds=7, seconds=5.0, streams=(100, 300)),
}
# Enough to see whether everything works, with rough results.
QUICK: Mapping[str, Sizes] = {
    "relay": Sizes(rounds=1, seconds=5, warm_s=1, streams=(100,)),
    "shapes": Sizes(rounds=1, seconds=2, warm_s=1, streams=(100,)),
    "cores": Sizes(rounds=1, seconds=2, warm_s=1, streams=(20,)),
    "memory": Sizes(rounds=1, seconds=2, warm_s=1, streams=(500,)),
    "many": Sizes(rounds=1, seconds=2, warm_s=1, streams=(500, 1000)),
    "unary": Sizes(rounds=1, seconds=4, warm_s=1),
    "storm": Sizes(rounds=1, seconds=1, warm_s=1, streams=(500,)),
    "churn": Sizes(rounds=1, total=2000),
    "slow": Sizes(rounds=1, seconds=10, warm_s=1, streams=(4,)),
    "workers": Sizes(rounds=1, seconds=2, warm_s=1, streams=(100,)),
    "limits": Sizes(rounds=1, seconds=2, warm_s=1),
    "doors": Sizes(rounds=1, seconds=2, warm_s=1, streams=(100,)),
    "quotas": Sizes(rounds=1, seconds=2, warm_s=1),
    "kept": Sizes(rounds=1, seconds=1, warm_s=1),
    "tls": Sizes(rounds=1, seconds=2, warm_s=1, streams=(100,)),
    "grpc": Sizes(rounds=1, seconds=2, warm_s=1, streams=(100,)),
}
# The gateway alone, with surroundings of their own.
ALONE = ("rest", "answers")
# Ten thousand streams need two workers, as they would in a replica; four need all CPUs.
WORKERS_OF: Mapping[str, int] = {"many": 2, "workers": max(workers.WORKERS)}
# Settings that differ from the default; recorded with the results, like those of --set.
SETTINGS_OF: Mapping[str, Mapping[str, str]] = {
    "many": {"GATEWAY_CORE_CONNECTIONS": "6000"},
    "kept": asking.KEPT_SETTINGS,
}
# Every stream has a user of its own, where the number of streams does not say so.
USERS_OF: Mapping[str, int] = {
    "churn": 2000,
    "shapes": 1000,
    "workers": 600,
    "limits": limits.OPENED,
    "tls": tls.HELD,
}
# These take minutes for each peer, and show little about a proxy that only relays.
FEW_PEERS = ("shapes", "cores", "many", "churn", "slow", "workers", "tls")
# Compared with Go doing the same work, requests matter here, not streams.
QUICK_PEERS_OF: Mapping[str, Sequence[str]] = {
    "unary": ("gateway", "go-reverseproxy", "go-jwt-opa")
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("scenario", choices=[*SCENARIOS, *ALONE, "soak", "all", "check", "docs"])
    made.add_argument("--peers", metavar="NAME,…", help=f"of {', '.join(PEERS)}")
    made.add_argument("--quick", action="store_true", help="three peers, one round, two minutes")
    made.add_argument("--rounds", type=int, help="how often each peer is measured (3)")
    made.add_argument("--seconds", type=float, help="length of each measurement")
    made.add_argument("--streams", metavar="N,…", help="numbers of streams, a measurement for each")
    made.add_argument("--rate", type=float, help="events a second and stream")
    made.add_argument("--shapes", action="store_true", help="relay: every shape of an event")
    made.add_argument("--cores", action="store_true", help="relay: real servers as the core")
    made.add_argument("--loads", metavar="NAME,…", help="relay --shapes: only these")
    made.add_argument("--get", help="unary: the path to request, below each system's prefix")
    made.add_argument("--total", type=int, help="churn: streams in all")
    made.add_argument("--hours", type=_hours, default=1.0, help="soak: how long (1)")
    made.add_argument("--workers", type=int, help="processes each system may use (1)")
    made.add_argument("--opa-server", action="store_true", help="the gateway asks an OPA server")
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="GATEWAY_…=…",
        dest="settings",
        help="a setting of the gateway that differs from the default; recorded in the result",
    )
    made.add_argument("--no-pin", action="store_true", help="share all CPUs")
    made.add_argument("--out", type=Path, default=results.FOLDER, help="folder of the results")
    return made


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 < hours <= soak.MOST_HOURS:
        raise argparse.ArgumentTypeError(f"more than 0 and at most {soak.MOST_HOURS:g}")
    return hours


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.scenario == "check":
        return check(options.out)
    if options.scenario == "docs":
        page.renew(folder=options.out)
        return 0
    chosen = [*SCENARIOS, *ALONE] if options.scenario == "all" else [options.scenario]
    try:
        status = max(
            measure(argparse.Namespace(**vars(options) | {"scenario": one})) for one in chosen
        )
        if options.out == results.FOLDER:
            page.renew()
        return status
    except (Missing, StartFailed) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def measure(options: argparse.Namespace) -> int:
    if options.scenario == "answers":
        # Imported here: it brings the reference core and LlamaIndex along.
        from benchmarks.answers import report

        return report.run(_say)
    if options.scenario == "soak":
        return asyncio.run(soak.run(options.hours, options.out, _say))
    if options.scenario == "relay" and (options.shapes or options.cores):
        options.scenario = "shapes" if options.shapes else "cores"
    if options.workers is None:
        options.workers = WORKERS_OF.get(options.scenario, 1)
    return asyncio.run(run_rest(options) if options.scenario == "rest" else run(options))


def check(folder: Path) -> int:
    """1 when results are older than the code, or there are none.

    The figures of the answers stand beside their questions: they belong to the usual folder's.
    """
    old = results.stale(folder)
    if folder == results.FOLDER:
        old += results.stale(ANSWERS, code_digest(parts=ANSWERED))
    if not any(folder.glob("*.json")):
        print(f"no results in {folder}")
        return 1
    for scenario in old:
        print(
            f"stale: {scenario}: the code it measured has changed since; "
            f"python -m benchmarks {scenario}"
        )
    return 1 if old else 0


def sizes_of(options: argparse.Namespace) -> Sizes:
    """The sizes of the scenario, overridden by options."""
    chosen = (QUICK if options.quick else FULL)[options.scenario]
    given = {name: getattr(options, name) for name in ("rounds", "seconds", "rate", "total", "get")}
    if options.loads:
        given["loads"] = tuple(options.loads.split(","))
    if options.streams:
        given["streams"] = tuple(int(number) for number in options.streams.split(","))
    values = {name: getattr(chosen, name) for name in Sizes.__dataclass_fields__}
    return Sizes(**values | {name: value for name, value in given.items() if value is not None})


async def run(options: argparse.Namespace) -> int:
    sizes = sizes_of(options)
    machine = results.machine()
    names = options.peers.split(",") if options.peers else _default_peers(options)
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise Missing(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    peers, versions, missing = await asyncio.to_thread(prepared, [PEERS[n] for n in names])
    if options.scenario == "cores":
        versions["cores"] = await asyncio.to_thread(cores.versions)
    for name, why in missing.items():
        _say(f"skipped: {name}: {why}")
    given = dict(pair.split("=", 1) for pair in options.settings)
    settings = {**SETTINGS_OF.get(options.scenario, {}), **given}
    async with Bench.open(
        users=max((USERS_OF.get(options.scenario, 100), *sizes.streams)),
        needs_opa=options.opa_server or any(peer.needs_opa for peer in peers),
        pin=not options.no_pin,
        workers=options.workers,
        gateway_settings=settings,
        gateway_opa_server=options.opa_server,
    ) as bench:
        under_way = Run(bench, peers, sizes, _say)
        await SCENARIOS[options.scenario](under_way)
        pinned = bench.pins.tested is not None
    conditions = {
        "rounds": sizes.rounds,
        "seconds": sizes.seconds,
        "rate": sizes.rate,
        "get": sizes.get,
        "workers": options.workers,
        "pinned": pinned,
        "quick": options.quick,
        "policy": "OPA server" if options.opa_server else "embedded",
        "gateway_settings": settings,
        "left_out": missing,
    }
    found = results.document(
        options.scenario,
        under_way.rows,
        machine=machine,
        versions=versions,
        conditions=conditions,
        direct=under_way.direct,
    )
    path = results.write(options.scenario, found, options.out)
    print(results.printed(options.scenario, found))
    print(path)
    if options.scenario not in plots.DRAWN:
        return 0
    if plots.available():
        for picture in plots.draw(options.scenario, found, options.out):
            print(picture)
    else:
        print("no pictures: `pip install matplotlib` draws them")
    return 0


async def run_rest(options: argparse.Namespace) -> int:
    """The gateway alone, with real components: there are no peers to compare with."""
    machine = results.machine()
    conditions = {
        "workers": max(options.workers, 2),
        "opa_server": options.opa_server,
        "seconds": options.seconds or (5.0 if options.quick else 30.0),
        "rounds": options.rounds or (1 if options.quick else 3),
    }
    rows = await rest.measure(**conditions)
    found = results.document("rest", rows, machine=machine, versions={}, conditions=conditions)
    path = results.write("rest", found, options.out)
    print(results.printed("rest", found))
    print(path)
    return 0


def _default_peers(options: argparse.Namespace) -> Sequence[str]:
    if options.scenario in ("limits", "doors", "grpc", "quotas", "kept"):
        return ("gateway",)  # compared with itself
    if options.quick:
        return QUICK_PEERS_OF.get(options.scenario, QUICK_PEERS)
    return QUICK_PEERS if options.scenario in FEW_PEERS else DEFAULT_PEERS


_BEGAN = time.monotonic()


def _say(line: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {line}", file=sys.stderr, flush=True)
