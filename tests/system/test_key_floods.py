"""Floods of made-up keys on real workers, with a real store 50 ms away: who has a key notices none.

The gateway's workers, versitygw and toxiproxy between them are real. Six hundred keys a second is
what a machine with nothing else to do gets; how many it was decides nothing here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path

import pytest

from gateway.adapters.s3_client import S3Access, S3Client
from gateway.domain.api_keys import format_key, new_key_id, new_secret
from gateway.domain.key_checksums import KeyChecksums
from tests.components import ACCOUNT, running_s3
from tests.edge.raw import Answer, exchange, request
from tests.edge.served import Served, served
from tests.edge.stub_core import stub_core
from tests.system.test_toxics import toxiproxy

pytestmark = pytest.mark.asyncio

ME, KEYS = "/api/v1/auth/me", "/api/v1/keys"
CROWD = ("203.0.113.1", "203.0.113.2", "203.0.113.3")
HONEST = "198.51.100.7"
MADE_UP, SENDERS, ASKED = 1800, 40, 40


async def buckets(endpoint: str) -> None:
    access = S3Access(endpoint, "us-east-1", ACCOUNT.access_key, ACCOUNT.secret_key, timeout_s=30.0)
    client = S3Client(access)
    deadline = asyncio.get_running_loop().time() + 60.0
    for name in ("documents", "gateway-keys"):
        await client.call("create_bucket", deadline, Bucket=name)
    client.close()


async def with_key(running: Served, key: str, address: str) -> Answer:
    headers = {"X-API-Key": key, "X-Forwarded-For": address}
    return await exchange(running.address, request("GET", ME, headers))


async def new_key(running: Served) -> str:
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"}
    body = b'{"name": "k", "scopes": ["auth:me"]}'
    answer = await exchange(running.address, request("POST", KEYS, headers, body))
    assert answer.status == 201, answer.body
    return str(answer.json()["secret"])


async def flood(running: Served, form: KeyChecksums | None) -> Counter[int]:
    """Made-up keys of one form, as fast as forty senders get their answers."""
    seen: Counter[int] = Counter()
    numbers = itertools.count()

    async def send() -> None:
        while (number := next(numbers)) < MADE_UP:
            guess = format_key(new_key_id(), new_secret(), form)
            seen[(await with_key(running, guess, CROWD[number % 3])).status] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(send())
    return seen


@pytest.mark.parametrize(
    ("form", "refusals"),
    [(None, {401, 429}), (KeyChecksums([b"o" * 32], [b"p" * 32]), {401})],
    ids=["of the old form", "of the new form"],
)
async def test_who_has_a_key_or_a_token_sees_no_503_beside_made_up_keys(
    tmp_path: Path, form: KeyChecksums | None, refusals: set[int]
) -> None:
    """Each request of the holder's key asks the store, as nothing is cached here."""
    settings = {
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "KEYS_SECRET": "k" * 40,
        "KEYS_CACHE_TTL": "0s",
        # How long a busy machine takes is no subject of this test.
        "IO_DEADLINE": "30s",
        "S3_ACCESS_KEY": ACCOUNT.access_key,
        "S3_SECRET_KEY": ACCOUNT.secret_key,
    }
    folder = tmp_path / "s3"
    folder.mkdir()
    async with running_s3(folder) as store, stub_core() as core:
        await buckets(store.launch.address)
        async with toxiproxy(store.launch.address.removeprefix("http://")) as proxy:
            await proxy.poison("latency", {"latency": 50})
            settings["S3_ENDPOINT"] = f"http://127.0.0.1:{proxy.address[1]}"
            async with served(core, tmp_path, workers=2, **settings) as running:
                key = await new_key(running)
                crowd = asyncio.create_task(flood(running, form))
                holders: Counter[int] = Counter()
                for _ in range(ASKED):
                    holders[(await with_key(running, key, HONEST)).status] += 1
                    holders[(await running.get(ME)).status] += 1
                seen = await crowd

    assert holders == {200: 2 * ASKED}
    assert seen.total() == MADE_UP
    assert set(seen) == refusals
