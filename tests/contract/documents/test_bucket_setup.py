"""``gateway setup``: from an empty store to one the gateway can use, as often as one likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from devstack.components import Running, free_port
from gateway.adapters.s3_client import S3Client
from gateway.commands.setup_buckets import run
from gateway.settings import Settings
from tests.components import STORES, running_s3
from tests.contract.documents.conftest import access_to


def settings_for(endpoint: str, region: str = "us-east-1") -> Settings:
    return Settings.load(
        {
            "GATEWAY_JWT_SECRET": "0123456789abcdef" * 2,
            "GATEWAY_SERVICES_CORE": "http://127.0.0.1:1",
            "GATEWAY_CORE_TOKEN": "token",
            "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:1",
            "GATEWAY_S3_ENDPOINT": endpoint,
            "GATEWAY_S3_REGION": region,
            "GATEWAY_S3_BUCKET": "my-documents",
            "GATEWAY_S3_KEYS_BUCKET": "my-keys",
            "GATEWAY_S3_ACCESS_KEY": "access",
            "GATEWAY_S3_SECRET_KEY": "secret-key",
            "GATEWAY_ADMIN_USERNAME": "admin",
            "GATEWAY_ADMIN_PASSWORD": "correct horse battery staple",
            "GATEWAY_CORS_ORIGINS": "https://app.example.com",
        },
        None,
    )


@pytest.fixture(params=STORES)
async def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    async with running_s3(tmp_path, STORES[request.param]) as server:
        yield server


class Asking:
    """boto3's answers about a bucket, for looking at what set-up did."""

    def __init__(self, server: Running) -> None:
        self.client = S3Client(access_to(server))

    async def __call__(self, operation: str, bucket: str = "my-documents", **kw: Any) -> Any:
        soon = asyncio.get_running_loop().time() + 30
        return await self.client.call(operation, soon, Bucket=bucket, **kw)


@pytest.fixture
async def ask(empty_store: Running) -> AsyncIterator[Asking]:
    asking = Asking(empty_store)
    yield asking
    asking.client.close()


async def test_set_up_makes_both_buckets_and_may_run_again(
    empty_store: Running, ask: Asking, capsys: pytest.CaptureFixture[str]
) -> None:
    """Versioning and CORS on the documents' bucket; a second run succeeds and changes nothing."""
    settings = settings_for(empty_store.launch.address)
    for _ in range(2):
        assert await asyncio.to_thread(run, settings) == 0
    assert "my-documents" in capsys.readouterr().out
    assert (await ask("get_bucket_versioning"))["Status"] == "Enabled"
    (rule,) = (await ask("get_bucket_cors"))["CORSRules"]
    # Those that are listed, and the console's own: of this machine, as no public address is set.
    own = ["http://127.0.0.1:8080", "http://localhost:8080"]
    assert rule["AllowedOrigins"] == ["https://app.example.com", *own]
    assert rule["AllowedMethods"] == ["GET", "HEAD", "POST", "PUT"]
    assert rule["ExposeHeaders"] == ["ETag"]
    await ask("head_bucket", "my-keys")


async def test_store_that_is_down_is_told_with_a_failing_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A script that sets up a store notices that it did not work."""
    assert await asyncio.to_thread(run, settings_for(f"http://127.0.0.1:{free_port()}")) == 1
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("empty_store", ["moto"], indirect=True)
async def test_operators_own_lifecycle_rules_stay(empty_store: Running, ask: Asking) -> None:
    """Ours is added, and once however often set-up runs; others are left as they are."""
    await ask("create_bucket")
    own = {
        "ID": "mine",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 30},
    }
    await ask("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": [own]})
    for _ in range(2):
        assert await asyncio.to_thread(run, settings_for(empty_store.launch.address)) == 0
    rules = (await ask("get_bucket_lifecycle_configuration"))["Rules"]
    assert [rule["ID"] for rule in rules] == ["mine", "gateway-abort-incomplete-uploads"]
    assert rules[1]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


@pytest.mark.parametrize("empty_store", ["moto"], indirect=True)
async def test_buckets_are_made_in_the_region_of_the_settings(
    empty_store: Running, ask: Asking
) -> None:
    """Every region but S3's first must be named when a bucket is made."""
    settings = settings_for(empty_store.launch.address, "eu-central-1")
    assert await asyncio.to_thread(run, settings) == 0
    assert (await ask("get_bucket_location"))["LocationConstraint"] == "eu-central-1"
