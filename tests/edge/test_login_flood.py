"""Floods of logins on real workers, with real hashes: honest people come in all the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .fakes import PASSWORD
from .raw import Answer, exchange, request
from .served import Served, served
from .stub_core import StubCore

LOOPS, CROWD = 60, ("203.0.113.1", "203.0.113.2", "203.0.113.3")
BEHIND_A_PROXY = {"TRUSTED_PROXIES": "127.0.0.0/8"}
NO_DELAYS = {"LOGIN_LONGEST_DELAY": "0"}


async def log_in(running: Served, address: str, name: str, password: str) -> Answer:
    """One login on a connection of its own, from ``address`` as the proxy tells it."""
    body = json.dumps({"username": name, "password": password}).encode()
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    return await exchange(running.address, request("POST", "/api/v1/auth/login", headers, body))


async def loop_of_logins(running: Served, number: int, seen: Counter[int]) -> None:
    """One attacker, who goes on until the test is over."""
    address = CROWD[number % len(CROWD)]
    while True:
        answer = await log_in(running, address, f"name{number}", "a guess")
        seen[answer.status] += 1


@contextlib.asynccontextmanager
async def flood(running: Served) -> AsyncIterator[Counter[int]]:
    seen: Counter[int] = Counter()
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(loop_of_logins(running, n, seen)) for n in range(LOOPS)]
        while seen.total() < LOOPS:  # noqa: ASYNC110  # the flood has to be under way
            await asyncio.sleep(0.01)
        yield seen
        for loop in loops:
            loop.cancel()


@pytest.mark.parametrize("settings", [{}, NO_DELAYS], ids=["by default", "without delays"])
async def test_honest_logins_succeed_beside_sixty_loops(
    core: StubCore, tmp_path: Path, settings: dict[str, str]
) -> None:
    """Sixty loops from three addresses, two workers, twenty logins from others: all let in.

    Without the delays it is the queue alone that lets them in.
    """
    async with served(core, tmp_path, workers=2, **BEHIND_A_PROXY, **settings) as running:
        async with flood(running) as seen:
            honest = [
                (await log_in(running, f"198.51.100.{n}", "root", PASSWORD)).status
                for n in range(20)
            ]
        assert honest == [200] * 20
        assert set(seen) <= {401, 429, 503}
        assert (429 in seen) is (settings == {})


async def test_no_answer_tells_which_names_exist(core: StubCore, tmp_path: Path) -> None:
    """Not by status, header or body, from the first failure to a long delay."""
    quick = {"LOGIN_FREE_FAILURES": "2", "LOGIN_FIRST_DELAY": "10m", "LOGIN_LONGEST_DELAY": "10m"}
    async with served(core, tmp_path, workers=1, **BEHIND_A_PROXY, **quick) as running:

        async def row(name: str, address: str) -> list[object]:
            answers = [await log_in(running, address, name, "a guess") for _ in range(6)]
            return [told(answer) for answer in answers]

        real, made_up = await row("root", "198.51.100.1"), await row("nobody", "198.51.100.2")
        assert real == made_up
        assert [answer[0] for answer in real] == [401] * 3 + [429] * 3  # type: ignore[index]
        # The owner was let in from his own address when the test began, and is now.
        assert (await log_in(running, "127.0.0.1", "root", PASSWORD)).status == 200


def told(answer: Answer) -> tuple[object, ...]:
    """What a client can see of an answer, without the request's id and the seconds' last digit."""
    headers = {
        name.lower(): value
        for name, value in answer.headers
        if name.lower() not in ("x-request-id", "date", "content-length")
    }
    wait_s = headers.pop("retry-after", None)
    if wait_s is not None:
        assert 590 <= int(wait_s) <= 600
    error = answer.json()["error"]
    error["details"].pop("request_id")
    assert str(error["details"].pop("retry_after_s", wait_s)) == str(wait_s)
    return answer.status, sorted(headers.items()), error
