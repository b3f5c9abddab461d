"""Makes an object store ready for the gateway; safe to run again.

Two buckets: documents, versioned, so that ``complete`` can pin what it checked, with CORS for
uploads from browsers; and API keys, a bucket of its own that the core's credentials cannot reach.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.adapters.s3_client import S3Client, S3Refused, StoreFailed
from gateway.errors import StorageUnavailable
from gateway.ports import Deadline
from gateway.settings import Settings
from gateway.settings.console_settings import own_origins
from gateway.wiring.from_settings import documents_access, keys_access

Prepare = Callable[[S3Client, Deadline], Awaitable[None]]

log = logging.getLogger(__name__)

_MINE_ALREADY = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_LIFECYCLE_RULE = "gateway-abort-incomplete-uploads"
# Longer than any multipart upload may take (``UploadRules.multipart_lifetime_s``).
ABORT_INCOMPLETE_DAYS = 1
SETUP_S = 30.0
CALL_S = 10.0


def run(settings: Settings) -> int:
    """``gateway setup``: prints what was done; gives the process's exit status."""
    try:
        asyncio.run(_run(settings))
    except StorageUnavailable as exc:
        print(f"The buckets are not ready: {exc.message} ({_cause(exc)})", file=sys.stderr)
        return 1
    print(f"Buckets are ready: {settings.s3_bucket}, {settings.s3_keys_bucket}")
    return 0


async def _run(settings: Settings) -> None:
    deadline = asyncio.get_running_loop().time() + SETUP_S
    for access, prepare in (
        (documents_access(settings), _documents(settings)),
        (keys_access(settings), _keys(settings)),
    ):
        client = S3Client(replace(access, timeout_s=CALL_S, threads=2))
        try:
            await prepare(client, deadline)
        finally:
            client.close()


def _documents(settings: Settings) -> Prepare:
    return partial(set_up_documents, settings.s3_bucket, _page_origins(settings))


def _page_origins(settings: Settings) -> tuple[str, ...]:
    """Whose pages reach the bucket: those that are listed, and the console's own."""
    origins = settings.cors_origins
    if settings.serves_console and "*" not in origins:
        origins = tuple(dict.fromkeys((*origins, *own_origins(settings))))
    return origins


def _keys(settings: Settings) -> Prepare:
    return partial(set_up_keys, settings.s3_keys_bucket)


def _cause(exc: BaseException) -> str:
    cause = exc.__cause__ or exc
    return f"{type(cause).__name__}: {cause}"


async def set_up_documents(
    bucket: str, allowed_origins: Sequence[str], client: S3Client, deadline: Deadline
) -> None:
    """Creates and configures the documents' bucket; no origins means no CORS.

    What a store does not support (versitygw: lifecycle rules) is logged and skipped: the workflow
    removes what expired, and the rule is a second safeguard. Versioning is required.

    Raises:
        StorageUnavailable: the store does not answer, or refuses what is needed.
    """
    with _refusal_explained():
        await _create(client, bucket, deadline)
        versioning = {"Status": "Enabled"}
        await client.call(
            "put_bucket_versioning",
            deadline,
            Bucket=bucket,
            VersioningConfiguration=versioning,
        )
        await _configure_cors(client, bucket, allowed_origins, deadline)
        await _abort_incomplete(client, bucket, deadline)


async def set_up_keys(bucket: str, client: S3Client, deadline: Deadline) -> None:
    """Creates the keys' bucket. Raises ``StorageUnavailable``."""
    with _refusal_explained():
        await _create(client, bucket, deadline)


@contextmanager
def _refusal_explained() -> Iterator[None]:
    try:
        yield
    except S3Refused as exc:
        raise StorageUnavailable(f"The object storage refused its set-up ({exc.s3_code}).") from exc


async def _create(client: S3Client, bucket: str, deadline: Deadline) -> None:
    try:
        await client.call("create_bucket", deadline, Bucket=bucket, **client.bucket_location)
    except S3Refused as exc:
        if exc.s3_code not in _MINE_ALREADY:
            raise
        # "Exists already" may mean somebody else's: only one that answers us is ours.
        await client.call("head_bucket", deadline, Bucket=bucket)


async def _configure_cors(
    client: S3Client, bucket: str, allowed_origins: Sequence[str], deadline: Deadline
) -> None:
    if not allowed_origins:
        return
    rule = {
        # A page reads the passages of a document in the document itself, by a signed address.
        "AllowedMethods": ["GET", "HEAD", "POST", "PUT"],
        "AllowedOrigins": list(allowed_origins),
        "AllowedHeaders": ["*"],
        # A multipart upload is completed with the ETags of its parts, so the page must see them.
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 600,
    }
    await _where_supported(
        client,
        "put_bucket_cors",
        deadline,
        bucket,
        CORSConfiguration={"CORSRules": [rule]},
    )


async def _abort_incomplete(client: S3Client, bucket: str, deadline: Deadline) -> None:
    rule = {
        "ID": _LIFECYCLE_RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": "uploads/"},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_INCOMPLETE_DAYS},
    }
    others = await _other_rules(client, bucket, deadline)
    await _where_supported(
        client,
        "put_bucket_lifecycle_configuration",
        deadline,
        bucket,
        LifecycleConfiguration={"Rules": [*others, rule]},
    )


async def _other_rules(client: S3Client, bucket: str, deadline: Deadline) -> list[Any]:
    """An operator's own rules stay: the call replaces all of them at once."""
    try:
        answer = await client.call("get_bucket_lifecycle_configuration", deadline, Bucket=bucket)
    except (S3Refused, StoreFailed):
        return []
    return [rule for rule in answer.get("Rules", ()) if rule.get("ID") != _LIFECYCLE_RULE]


async def _where_supported(
    client: S3Client, operation: str, deadline: Deadline, bucket: str, **arguments: Any
) -> None:
    try:
        await client.call(operation, deadline, Bucket=bucket, **arguments)
    except StoreFailed as exc:
        if exc.s3_code != "NotImplemented":
            raise
        log.warning("the object storage does not support %s: skipped", operation)
