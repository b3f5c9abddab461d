"""The core's account at versitygw: made once, as often as it is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from devstack.buckets import client, main
from devstack.components import S3Account, free_port
from devstack.environment import DOCUMENTS_BUCKET
from devstack.processes import StartFailed
from devstack.store_accounts import ensure_account
from tests.components import ACCOUNT, running_s3

CORE = S3Account("core-1", "first & secret <of it>")


def may_list(endpoint: str, account: S3Account) -> bool:
    s3 = client(endpoint, account)
    try:
        s3.list_objects_v2(Bucket=DOCUMENTS_BUCKET)
    except ClientError:
        return False
    finally:
        s3.close()
    return True


async def test_it_reads_the_documents_and_may_be_made_again(tmp_path: Path) -> None:
    """The command that containers run at each start; a new secret takes the old one's place."""
    environ = {"ROOT_ACCESS_KEY": ACCOUNT.access_key, "ROOT_SECRET_KEY": ACCOUNT.secret_key}
    async with running_s3(tmp_path) as running:
        endpoint = running.launch.address
        root = client(endpoint, ACCOUNT)
        await asyncio.to_thread(root.create_bucket, Bucket=DOCUMENTS_BUCKET)
        root.close()
        for secret in (CORE.secret_key, CORE.secret_key, "second"):
            given = environ | {"CORE_S3_SECRET_KEY": secret}
            assert await asyncio.to_thread(main, [endpoint, CORE.access_key], given) == 0
            core = S3Account(CORE.access_key, secret)
            assert await asyncio.to_thread(may_list, endpoint, core)
        assert not await asyncio.to_thread(may_list, endpoint, CORE)


async def test_a_store_that_refuses_or_is_not_there_is_told(tmp_path: Path) -> None:
    """With what it said; a secret is in no message."""
    wrong = S3Account(ACCOUNT.access_key, "wrong")
    async with running_s3(tmp_path) as running:
        with pytest.raises(StartFailed, match="could not be made: 403") as caught:
            await asyncio.to_thread(ensure_account, running.launch.address, wrong, CORE)
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StartFailed, match="no answer") as unheard:
        await asyncio.to_thread(ensure_account, nowhere, ACCOUNT, CORE)
    assert CORE.secret_key not in f"{caught.value}{unheard.value}"
