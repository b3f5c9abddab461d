"""One botocore client on one small pool of threads, with botocore's exceptions mapped to ours.

botocore alone: boto3 only adds objects around the same client. It blocks, so every real call runs
in a thread; presigning is pure CPU (0.1–0.25 ms) and runs where it is. A call that outlives its
deadline is abandoned, not stopped: its thread comes back when botocore's own timeout strikes, so
those are set just above the deadline and never retried. The pool is bounded for the same reason:
with a frozen store the calls wait in line and fail on their deadline, and no thread is added.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Any, TypeVar

import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session

from gateway.errors import GatewayError, StorageUnavailable
from gateway.ports import Deadline
from gateway.tls.certificates import TlsFiles


@dataclass(frozen=True, slots=True)
class S3Access:
    """Where a store is and how to sign for it. ``endpoint`` is a URL; ``None`` means AWS."""

    endpoint: str | None
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    timeout_s: float
    threads: int = 16
    tls: TlsFiles = field(default_factory=TlsFiles)


T = TypeVar("T")


class S3Refused(GatewayError):
    """The store refused: ``s3_code`` is its code (``NoSuchKey``), ``http`` its status."""

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


class _Services(msgspec.Struct):
    """Of the hundreds; what has no field here is skipped as it is read."""

    s3: Any = msgspec.UNSET


class _Partition(msgspec.Struct):
    partition: Any
    partitionName: Any
    dnsSuffix: Any
    regionRegex: Any
    regions: Any
    defaults: Any
    services: _Services


class _Endpoints(msgspec.Struct):
    """botocore's ``endpoints.json``: 6 MiB once parsed, less than half of one for S3 alone."""

    version: Any
    partitions: list[_Partition]


class _Brief(JSONFileLoader):
    """Reads botocore's descriptions of S3, without prose and other services; S3's rules in brief.

    Parsed in full they are 16 MiB; and each call walks through all the rules of where in AWS a
    bucket may be, of which a store with an address of its own needs one.
    """

    def __init__(self, rules: list[dict[str, Any]] | None) -> None:
        self._rules = rules

    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        if not os.path.isfile(full_path):
            return None
        with open_method(full_path, "rb") as file:
            content = file.read()
        if os.path.basename(full_path).startswith("endpoints."):
            return msgspec.to_builtins(msgspec.json.decode(content, type=_Endpoints))
        found = json.loads(content, object_hook=_without_documentation)
        if self._rules is not None and "/s3/" in full_path and "/endpoint-rule-set-" in full_path:
            found["rules"] = self._rules
        return found


def _without_documentation(found: dict[str, Any]) -> dict[str, Any]:
    if isinstance(found.get("documentation"), str):
        found["documentation"] = ""  # botocore wants it to be there
    return found


def _rule(url: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    signing = {"name": "sigv4", "signingName": "s3", "signingRegion": "{Region}"}
    schemes = [{**signing, "disableDoubleEncoding": True}]
    endpoint = {"url": url, "properties": {"authSchemes": schemes}, "headers": {}}
    return {"type": "endpoint", "conditions": list(conditions), "endpoint": endpoint}


_PARSED = {"fn": "parseURL", "argv": [{"ref": "Endpoint"}], "assign": "url"}
_HAS_BUCKET = {"fn": "isSet", "argv": [{"ref": "Bucket"}]}
_ENCODED = {"fn": "uriEncode", "argv": [{"ref": "Bucket"}], "assign": "bucket"}
_ENDPOINT = "{url#scheme}://{url#authority}{url#normalizedPath}"
# Where a bucket is when the endpoint is given: below it, by path. The language of these rules is
# botocore's own (the data file ``endpoint-rule-set-1``).
_BY_PATH = [
    _rule(_ENDPOINT + "{bucket}", _PARSED, _HAS_BUCKET, _ENCODED),
    _rule(_ENDPOINT, _PARSED),
]


@cache
def _session(*, by_path: bool) -> Session:
    """The one all clients are made by, because each session reads the descriptions afresh.

    It looks for no credentials: each client is given its own.
    """
    session = Session()
    session.register_component(
        "data_loader", Loader(file_loader=_Brief(_BY_PATH if by_path else None))
    )
    return session


@lru_cache(maxsize=16)
def make_client(access: S3Access) -> Any:
    """botocore's S3 client: SigV4, path-style, no retries, no credentials from anywhere else.

    The same one for the same access: clients may be shared by threads, and those that were made
    before a fork, by all workers' memory. A client that was never used has no connection.
    """
    tls = access.tls
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=access.timeout_s,
        read_timeout=access.timeout_s,
        retries={"total_max_attempts": 1},
        max_pool_connections=access.threads,
        client_cert=None if tls.cert is None else (str(tls.cert), str(tls.key)),
        proxies={},
        # Checksums only where we ask for them: a default CRC32 would have to be signed into forms.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return _session(by_path=access.endpoint is not None).create_client(
        "s3",
        region_name=access.region,
        endpoint_url=access.endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        config=config,
        verify=None if tls.ca is None else str(tls.ca),
    )


class S3Client:
    """Calls of one botocore client, off the event loop and under a deadline."""

    def __init__(self, access: S3Access) -> None:
        self.sync = make_client(access)
        self._access = access
        self._threads = ThreadPoolExecutor(access.threads, thread_name_prefix="s3")

    async def call(self, operation: str, deadline: Deadline, **arguments: Any) -> dict[str, Any]:
        """Runs ``operation`` (``"head_object"``) and gives botocore's answer.

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
        """Names the region for ``create_bucket``; the first one must not be named."""
        if self._access.region == "us-east-1":
            return {}
        return {"CreateBucketConfiguration": {"LocationConstraint": self._access.region}}

    def use(self, access: S3Access) -> None:
        """Other credentials from the next call on; calls under way keep theirs."""
        self._access = access
        self.sync = make_client(access)

    def renew(self) -> None:
        """Reads changed certificate files: botocore has no way to forget a CA it was given."""
        make_client.cache_clear()
        before, self.sync = self.sync, make_client(self._access)
        # The connections of calls under way are closed as they come back.
        before.close()

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
