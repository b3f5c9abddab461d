"""Limits over two real workers: what is asked at random moments is let in as the limit says."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from .raw import exchange, request
from .served import Served, served
from .stub_core import StubCore

ME = "/api/v1/auth/me"
COUNT, BURST = 120, 12
LIMIT = f"auth:me {COUNT}/m burst {BURST} per subject"
RATE_S = COUNT / 60
LASTS_S = 15.0


@dataclass
class History:
    """What was asked, and when: sent, answered, and with which status."""

    asked: list[tuple[float, float, int]] = field(default_factory=list)

    async def ask(self, running: Served) -> None:
        """On a connection of its own, so that either worker may have it."""
        sent = time.monotonic()
        answer = await running.get(ME)
        self.asked.append((sent, time.monotonic(), answer.status))

    @property
    def passed(self) -> list[tuple[float, float]]:
        return sorted((sent, got) for sent, got, status in self.asked if status == 200)


def windows_above(passed: list[tuple[float, float]], rate: float, burst: int) -> list[str]:
    """Every window in which more passed than GCRA lets pass, whatever the network did meanwhile.

    A request was decided between its sending and its answer. So of those from the i-th to the j-th
    all were decided between the i-th's sending and the last answer among them.
    """
    faults = []
    for i, (began, _) in enumerate(passed):
        last = began
        for j in range(i, len(passed)):
            last = max(last, passed[j][1])
            most = burst + rate * (last - began)
            if j - i + 1 > most + 1e-6:
                faults.append(f"{j - i + 1} in {last - began:.3f} s, at most {most:.1f}")
    return faults


def test_the_checker_finds_a_window_that_is_too_full() -> None:
    even = [(n / 2, n / 2 + 0.01) for n in range(40)]

    assert windows_above(even, 2.0, 1) == []
    assert windows_above(sorted([*even, (3.1, 3.11)]), 2.0, 1)


async def test_two_workers_let_in_what_one_limit_says(core: StubCore, tmp_path: Path) -> None:
    """Twice the rate is asked for, in bunches of up to twice the burst at random moments."""
    random, history = Random(7), History()
    async with served(core, tmp_path, workers=2, LIMITS=LIMIT) as running:
        began = time.monotonic()
        while (now := time.monotonic()) < began + LASTS_S:
            bunch = random.randint(1, 2 * BURST)
            await asyncio.gather(*(history.ask(running) for _ in range(bunch)))
            # Moments are what this test is about.
            due = now + bunch / (2 * RATE_S) * random.random()
            await asyncio.sleep(max(due - time.monotonic(), 0.0))
        took_s = max(got for _, got, _ in history.asked) - began

    assert {status for *_, status in history.asked} == {200, 429}
    assert windows_above(history.passed, RATE_S, BURST) == []
    expected = BURST + RATE_S * took_s
    assert 0.9 * expected <= len(history.passed) <= 1.05 * expected


async def test_both_workers_count_and_either_may_refuse(core: StubCore, tmp_path: Path) -> None:
    limits = "auth:me 2/d per subject"
    async with served(core, tmp_path, workers=2, LIMITS=limits) as running:
        headers = {"Authorization": f"Bearer {running.token}"}
        asking = request("GET", ME, headers)
        answers = [await exchange(running.address, asking) for _ in range(12)]

        assert [answer.status for answer in answers] == [200] * 2 + [429] * 10
        lines = [line for line in running.lines("request") if line["status"] == 429]
        assert {line["limit"] for line in lines} == {"auth:me/subject/d"}
        assert {line["principal"] for line in lines} == {"root"}
