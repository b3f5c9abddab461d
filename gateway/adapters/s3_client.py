"""One boto3 client on one small pool of threads, with boto3's exceptions mapped to ours.

boto3 blocks, so every real call runs in a thread; presigning is pure CPU (0.1–0.25 ms) and runs
where it is. A call that outlives its deadline is abandoned, not stopped: its thread comes back
when botocore's own timeout strikes, so those are set just above the deadline and never retried.
The pool is bounded for the same reason: with a frozen store the calls wait in line and fail on
their deadline, and no thread is added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gateway.errors import GatewayError, StorageUnavailable
from gateway.ports import Deadline


@dataclass(frozen=True, slots=True)
class S3Access:
    """Where a store is and how to sign for it. ``endpoint`` is a URL; ``None`` means AWS."""

    endpoint: str | None
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    timeout_s: float = 1.5
    threads: int = 16
    ca_file: str | None = None


T = TypeVar("T")


class S3Refused(GatewayError):
    """The store said no: ``s3_code`` is its word (``NoSuchKey``), ``http`` its status."""

    def __init__(self, s3_code: str, http: int) -> None:
        super().__init__()
        self.s3_code = s3_code
        self.http = http

    def __str__(self) -> str:
        """For the operator; a client never sees it."""
        return f"the store answered {self.http} {self.s3_code}"


class BucketUnusable(Exception):
    """The store answers, and not for this bucket. Written for the operator, never for a client."""

    def __init__(self, bucket: str, http: int) -> None:
        super().__init__(f"bucket {bucket!r}: {_WHY_UNUSABLE.get(http, f'answered {http}')}")


# A HEAD has no body, so its status is all there is to go by.
_WHY_UNUSABLE = {
    301: "is in another region than GATEWAY_S3_REGION",
    403: "refused to these credentials",
    404: "is not there; 'gateway setup' makes it",
}


class StoreFailed(StorageUnavailable):
    """The store answered that it cannot: a 5xx, or our own credentials are wrong."""

    def __init__(self, s3_code: str) -> None:
        super().__init__()
        self.s3_code = s3_code


# botocore reads its description of S3 (some 10 MiB once parsed) once a session; so there is one,
# without credentials: each client gets its own.
_SESSION: boto3.session.Session | None = None


def _session() -> boto3.session.Session:
    global _SESSION
    if _SESSION is None:
        _SESSION = boto3.session.Session(aws_access_key_id="-", aws_secret_access_key="-")
    return _SESSION


def read_models() -> None:
    """Reads what botocore knows of S3: before a fork it is in memory once for all workers."""
    make_client(S3Access(None, "us-east-1", "-", "-"))


def make_client(access: S3Access) -> Any:
    """A boto3 S3 client: SigV4, path-style, no retries, no credentials from anywhere else."""
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=access.timeout_s,
        read_timeout=access.timeout_s,
        retries={"total_max_attempts": 1},
        max_pool_connections=access.threads,
        proxies={},
        # Checksums only where we ask for them: a default CRC32 would have to be signed into forms.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return _session().client(
        "s3",
        region_name=access.region,
        endpoint_url=access.endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        config=config,
        verify=access.ca_file,
    )


class S3Client:
    """Calls of one boto3 client, off the event loop and under a deadline."""

    def __init__(self, access: S3Access) -> None:
        self.sync = make_client(access)
        self._region = access.region
        self._threads = ThreadPoolExecutor(access.threads, thread_name_prefix="s3")

    async def call(self, operation: str, deadline: Deadline, **arguments: Any) -> dict[str, Any]:
        """Runs ``operation`` (``"head_object"``) and gives boto3's answer.

        Raises:
            S3Refused: the store answered with an error below 500.
            StorageUnavailable: no answer by ``deadline``, no connection, or a 5xx.
        """
        method: Callable[..., dict[str, Any]] = getattr(self.sync, operation)
        return await self.run(partial(method, **arguments), deadline)

    async def check_bucket(self, bucket: str, deadline: Deadline) -> None:
        """Raises ``StorageUnavailable`` unless ``bucket`` is there for us; its cause says why."""
        try:
            await self.call("head_bucket", deadline, Bucket=bucket)
        except S3Refused as exc:
            raise StorageUnavailable from BucketUnusable(bucket, exc.http)

    async def run(self, work: Callable[[], T], deadline: Deadline) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                return await loop.run_in_executor(self._threads, work)
        except TimeoutError as exc:
            raise StorageUnavailable from exc
        except ClientError as exc:
            raise _refused(exc) from exc
        except BotoCoreError as exc:
            raise StorageUnavailable from exc

    @property
    def bucket_location(self) -> dict[str, Any]:
        """What ``create_bucket`` must be told: every region but the first is named."""
        if self._region == "us-east-1":
            return {}
        return {"CreateBucketConfiguration": {"LocationConstraint": self._region}}

    def use(self, access: S3Access) -> None:
        """Other credentials from the next call on; calls under way keep theirs."""
        self.sync = make_client(access)

    def close(self) -> None:
        """Lets go of the threads without waiting for calls that were abandoned."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.sync.close()


# Our own set-up is wrong: no request can mend it, and it must not look like "no such object".
_OUR_FAULT = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "SlowDown"})


def _refused(exc: ClientError) -> GatewayError:
    http = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    code = str(exc.response.get("Error", {}).get("Code", ""))
    return StoreFailed(code) if http >= 500 or code in _OUR_FAULT else S3Refused(code, http)
