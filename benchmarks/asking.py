"""``quotas`` and ``kept``: what a question costs whose answer comes at once, from end to end.

``quotas`` compares the gateway with itself: without limits, with limits in Redis, with quotas, and
with both; ``kept`` an answer that is asked of the core with the same one given again from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.bench import LoadFailed, Meter, Running
from benchmarks.limits import ALONE, CONNECTIONS, MANY, OFF, by_settings, redis_beside
from benchmarks.scenarios import Run, base_row, paced, trouble, warm
from benchmarks.summary import Row, order
from devstack.processes import StartFailed

# The core sends all of them in one chunk: the cheapest that asking it can be.
AT_ONCE = "events={0} rate=0 together={0}"
# Of a user's day and month, and of his tenant's: more than anybody spends.
TOKENS = (
    "query:run 1000000000 tokens/day per subject, 1000000000 tokens/month per subject,"
    " 1000000000 tokens/month per tenant"
)
RATES = (
    f"query:run {MANY} per subject, 100000 open per subject; *:* {MANY} per tenant, {MANY} per"
    " subject"
)
ANSWERED = 8
RELAYED = 100


async def quotas(run: Run) -> None:
    """An answer of a few events, on many connections and on a few; and a relayed event."""
    async with redis_beside(run.bench) as url:
        redis = {"GATEWAY_REDIS_URL": url}
        ways: Mapping[str, Mapping[str, str]] = {
            OFF: {},
            "quotas": {**redis, "GATEWAY_LIMITS": TOKENS},
            "limits": {**redis, "GATEWAY_LIMITS": RATES},
            "limits and quotas": {**redis, "GATEWAY_LIMITS": f"{RATES}; {TOKENS}"},
        }
        await by_settings(run, ways, RELAYED, _question)


async def _question(run: Run, system: Running) -> Row:
    few = AT_ONCE.format(ANSWERED)
    busy = await _asked(run, system, CONNECTIONS, order=few)
    alone = await _asked(run, system, ALONE, order=few)
    relaying = Meter(system.pid)
    relayed = await paced(run, system.url("/query"), RELAYED, run.sizes.seconds, relaying)
    return {
        "cpu_us_per_answer": busy["cpu_us_per_answer"],
        "cpu_us_per_answer_alone": alone["cpu_us_per_answer"],
        "cpu_us_per_event": relaying.used_s / max(relayed["events"], 1) * 1e6,
        **trouble(relayed),
        "failed": busy["failed"] + alone["failed"] + sum(relayed["failures"].values()),
    }


# --- kept -----------------------------------------------------------------------------------------

# One user on each connection, so that each has an answer of his own.
ASKERS = 8
ASKED, HIT = "asked", "hit"
KEPT_SETTINGS = {"GATEWAY_ANSWER_CACHE_TTL": "1h"}


class Answer(NamedTuple):
    """What is asked: so many events, as a stream or as one document."""

    events: int
    whole: bool = False

    @property
    def name(self) -> str:
        return f"JSON of {self.events} events" if self.whole else f"{self.events} events"


ANSWERS = (Answer(64), Answer(304), Answer(64, whole=True))


async def kept(run: Run) -> None:
    """Each answer as it is asked of the core and as it is kept, by turns, in one process."""
    for peer in run.peers:
        try:
            async with run.bench.running(peer) as system:
                await warm(run, system)
                for number in range(run.sizes.rounds):
                    for answer in ANSWERS:
                        for way in order([ASKED, HIT], number):
                            run.note(await _either(run, system, number, answer, way))
        except (StartFailed, LoadFailed) as exc:
            run.fail(0, peer.name, exc, load=ASKED)


async def _either(run: Run, system: Running, number: int, answer: Answer, way: str) -> Row:
    found = await _asked(
        run,
        system,
        ASKERS,
        order=AT_ONCE.format(answer.events),
        whole=answer.whole,
        cache_control="no-store" if way == ASKED else "",
    )
    return base_row(system, ASKERS, number) | {"load": f"{answer.name}, {way}"} | found


async def _asked(run: Run, system: Running, connections: int, **plan: Any) -> Row:
    """The same question again and again, on each of so many connections."""
    meter = Meter(system.pid)
    plan |= {"mode": "asks", "url": system.url("/query"), "streams": connections}
    plan |= {"seconds": run.sizes.seconds, "settle_s": run.sizes.warm_s}
    limit_s = run.sizes.seconds + 90
    result = await run.bench.load(plan, limit_s, steady=meter.steady, end=meter.end)
    return {
        "cpu_us_per_answer": meter.used_s / max(result["requests"], 1) * 1e6,
        "kept": result["kept"] / max(result["requests"], 1),
        **trouble(result),
    }
