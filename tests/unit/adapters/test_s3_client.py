"""boto3 off the event loop, under a deadline, with its failures told as ours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from gateway.adapters.s3_client import S3Access, S3Client, S3Refused
from gateway.errors import StorageUnavailable


@pytest.fixture
def client() -> Iterator[S3Client]:
    found = S3Client(
        S3Access("http://127.0.0.1:1", "us-east-1", "access", "secret", timeout_s=1.5, threads=2)
    )
    yield found
    found.close()


def refused(code: str, http: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": http}}, "HeadObject"
    )


def failing(exc: Exception) -> None:
    raise exc


def soon(seconds: float = 20) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.mark.parametrize(
    ("code", "http"),
    [
        ("InternalError", 500),
        ("SlowDown", 503),
        ("InvalidAccessKeyId", 403),
        ("SignatureDoesNotMatch", 403),
        ("NoSuchBucket", 404),
    ],
)
async def test_store_that_cannot_and_settings_that_are_wrong_are_an_outage(
    client: S3Client, code: str, http: int
) -> None:
    """None of these says anything about the object that was asked for."""
    with pytest.raises(StorageUnavailable):
        await client.run(lambda: failing(refused(code, http)), soon())


async def test_refusal_carries_the_stores_word(client: S3Client) -> None:
    """What the store said of the request itself is for the adapter to judge."""
    with pytest.raises(S3Refused) as told:
        await client.run(lambda: failing(refused("NoSuchUpload", 404)), soon())
    assert (told.value.s3_code, told.value.http) == ("NoSuchUpload", 404)


async def test_no_connection_is_an_outage(client: S3Client) -> None:
    """For real, and as botocore words it."""
    with pytest.raises(StorageUnavailable):
        await client.call("head_bucket", soon(), Bucket="documents")
    with pytest.raises(StorageUnavailable):
        await client.run(lambda: failing(EndpointConnectionError(endpoint_url="x")), soon())


async def test_hanging_calls_fail_on_their_deadline_and_add_no_thread(client: S3Client) -> None:
    """With every thread stuck the next calls wait in line, and their deadline still holds."""
    release = threading.Event()
    before = threading.active_count()
    try:
        waiting = [client.run(lambda: release.wait(30), soon(0.05)) for _ in range(8)]
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, StorageUnavailable) for one in told)
        assert threading.active_count() <= before + 2
    finally:
        release.set()
    assert await client.run(lambda: "again", soon()) == "again"


def test_secrets_stay_out_of_reprs() -> None:
    """An access that ends in a log shows where, not with what."""
    shown = repr(S3Access("http://s3", "us-east-1", "AKIA", "hush", timeout_s=1.5))
    assert "hush" not in shown
    assert "AKIA" not in shown
