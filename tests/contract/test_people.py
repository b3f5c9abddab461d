"""One suite for whoever remembers sign-ins: the fake of the unit tests, moto, and versitygw."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.adapters.s3_people import S3People
from gateway.domain.company import SeenPerson, company_subject
from gateway.errors import StorageUnavailable
from gateway.ports import People
from tests.unit.identity_fakes import MemoryPeople

from .test_key_store import (  # noqa: F401  # fixtures
    moto_client,
    moto_endpoint,
    new_bucket,
    soon,
    versitygw_client,
    versitygw_endpoint,
)

ERIN = SeenPerson(
    company_subject("https://sso.example.com", "erin"), "acme", frozenset({"reader"}), 1000, "Erin"
)


@pytest.fixture(params=["memory", "moto", "versitygw"])
def people(request: pytest.FixtureRequest) -> People:
    if request.param == "memory":
        return MemoryPeople()
    client = request.getfixturevalue(f"{request.param}_client")
    return S3People(client, new_bucket(client))


async def test_what_was_put_is_found(people: People) -> None:
    """All of it, and nothing of anybody else."""
    assert await people.get(ERIN.subject, soon()) is None
    await people.put(ERIN, soon())
    assert await people.get(ERIN.subject, soon()) == ERIN
    assert await people.get(company_subject("https://sso.example.com", "rita"), soon()) is None


async def test_the_later_sign_in_stays_in_whatever_order(people: People) -> None:
    """One replica may see an old token after another has seen a new one; and both at once."""
    newer = replace(ERIN, roles=frozenset(), signed_in_at=2000)
    await people.put(newer, soon())
    await people.put(ERIN, soon())
    assert await people.get(ERIN.subject, soon()) == newer
    again = replace(newer, tenant="other")
    await people.put(again, soon())
    assert await people.get(ERIN.subject, soon()) == again
    latest = [replace(ERIN, signed_in_at=3000 + n) for n in range(3)]
    await asyncio.gather(*(people.put(one, soon()) for one in latest))
    assert await people.get(ERIN.subject, soon()) == latest[-1]


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"version": 2, "person": null}'])
async def test_a_record_that_is_none_lets_nobody_in(
    body: bytes,
    versitygw_client,  # type: ignore[no-untyped-def]  # noqa: F811
) -> None:
    """Nor is it taken for no record; the next sign-in writes a whole one."""
    bucket = new_bucket(versitygw_client)
    store = S3People(versitygw_client, bucket)
    for path in (f"people/{ERIN.subject}.json",):
        versitygw_client.sync.put_object(Bucket=bucket, Key=path, Body=body)
    with pytest.raises(StorageUnavailable):
        await store.get(ERIN.subject, soon())
    await store.put(ERIN, soon())
    assert await store.get(ERIN.subject, soon()) == ERIN
    await store_whole(store, bucket, versitygw_client)


async def store_whole(store: S3People, bucket: str, client) -> None:  # type: ignore[no-untyped-def]
    """A record under another person's name is none of his."""
    rita = company_subject("https://sso.example.com", "rita")
    await store.put(replace(ERIN, subject=rita), soon())
    found = client.sync.get_object(Bucket=bucket, Key=f"people/{rita}.json")["Body"].read()
    client.sync.put_object(Bucket=bucket, Key=f"people/{ERIN.subject}.json", Body=found)
    with pytest.raises(StorageUnavailable):
        await store.get(ERIN.subject, soon())
