"""One document for fifty creates with one key, though a worker is killed in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.components import Running
from devstack.stack import Stack
from tests.components import running_redis

from .conftest import ACCOUNTS
from .people import Person, until
from .test_workers import serving

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

DOCUMENTS = "/api/v1/documents"
# Those that mean "come again", and the connection that broke.
AGAIN = {409, 503, 504}


async def create(person: Person, filename: str, key: str) -> httpx.Response:
    body = {"filename": filename, "content_type": "text/plain", "size": 5}
    return await person.http.post(DOCUMENTS, json=body, headers={"Idempotency-Key": key})


async def create_at_last(person: Person, filename: str, key: str) -> dict[str, Any]:
    """As a client does it that comes again until it knows."""
    while True:
        try:
            answer = await create(person, filename, key)
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code not in AGAIN:
            assert answer.status_code == 201, answer.text
            return dict(answer.json())
        await asyncio.sleep(0.1)


def workers_of(supervisor: int) -> list[int]:
    return [
        int(pid)
        for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    ]


async def claims(redis: Running) -> int:
    """How many keys are remembered, in whatever state."""
    host, _, port = redis.launch.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"KEYS kbg:i:*\r\nQUIT\r\n")
    found = await reader.read()
    writer.close()
    return found.count(b"kbg:i:")


async def test_a_worker_killed_in_the_middle_leaves_one_document(
    stack: Stack, tmp_path: Path
) -> None:
    """Between starting the workflow and remembering it: who comes next, at either replica, gets the
    document that was begun, and there is no other."""
    filename, name = "killed-in-the-middle.txt", "user-7"
    async with running_redis(tmp_path) as redis:
        shared = {"REDIS_URL": f"redis://{redis.launch.address}", "REDIS_TIMEOUT": "5s"}
        async with serving(stack, 1, **shared) as one, serving(stack, 1, **shared) as other:
            people = [
                await Person(each.base_url, name, ACCOUNTS[name][0]).log_in()
                for each in (one, other)
            ]
            await create_at_last(people[0], "before.txt", "before")
            stack.freeze("temporal")
            first = asyncio.create_task(create(people[0], filename, "one"))
            try:
                await until(lambda: _is(claims(redis), 2), limit_s=60)
                for pid in workers_of(one.process.pid):
                    os.kill(pid, signal.SIGKILL)
            finally:
                stack.thaw("temporal")
            with pytest.raises(httpx.TransportError):
                await first
            tickets = await asyncio.gather(
                *(create_at_last(people[n % 2], filename, "one") for n in range(50))
            )
            assert len({ticket["document_id"] for ticket in tickets}) == 1
            await until(lambda: _is(listed(people[1], filename), 1), limit_s=60)
            for person in people:
                await person.aclose()


async def listed(person: Person, filename: str) -> int:
    answer = await person.call("GET", f"{DOCUMENTS}?limit=100")
    return sum(one["filename"] == filename for one in answer.json()["documents"])


async def _is(counting: Any, expected: int) -> bool:
    return int(await counting) == expected
