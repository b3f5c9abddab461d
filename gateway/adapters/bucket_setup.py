"""Makes an object store ready for the gateway; safe to run again.

Two buckets: documents, versioned, so that ``complete`` can pin what it checked, with CORS for
uploads from browsers; and API keys, a bucket of its own that the core's credentials cannot reach.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.adapters.s3_client import S3Client, S3Refused, StoreFailed
from gateway.errors import StorageUnavailable
from gateway.ports import Deadline

log = logging.getLogger(__name__)

_MINE_ALREADY = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_LIFECYCLE_RULE = "gateway-abort-incomplete-uploads"
# Longer than any multipart upload may take (``UploadRules.multipart_lifetime_s``).
ABORT_INCOMPLETE_DAYS = 1


@dataclass(frozen=True, slots=True)
class Buckets:
    """``allowed_origins`` are the browsers' origins that may upload; none means no CORS."""

    documents: str
    keys: str
    allowed_origins: Sequence[str] = ()


async def set_up(client: S3Client, buckets: Buckets, deadline: Deadline) -> None:
    """Creates and configures both buckets.

    What a store does not know (versitygw: lifecycle rules) is logged and left out: the workflow
    removes what expired, the rule is only a net below it. Versioning is needed.

    Raises:
        StorageUnavailable: the store does not answer, or refuses what is needed.
    """
    try:
        await _create(client, buckets.documents, deadline)
        await _create(client, buckets.keys, deadline)
        await client.call(
            "put_bucket_versioning",
            deadline,
            Bucket=buckets.documents,
            VersioningConfiguration={"Status": "Enabled"},
        )
        await _configure_cors(client, buckets, deadline)
        await _abort_incomplete(client, buckets.documents, deadline)
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


async def _configure_cors(client: S3Client, buckets: Buckets, deadline: Deadline) -> None:
    if not buckets.allowed_origins:
        return
    rule = {
        "AllowedMethods": ["POST", "PUT"],
        "AllowedOrigins": list(buckets.allowed_origins),
        "AllowedHeaders": ["*"],
        # A multipart upload is completed with the ETags of its parts, so the page must see them.
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 600,
    }
    await _where_known(
        client,
        "put_bucket_cors",
        deadline,
        buckets.documents,
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
    await _where_known(
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


async def _where_known(
    client: S3Client, operation: str, deadline: Deadline, bucket: str, **arguments: Any
) -> None:
    try:
        await client.call(operation, deadline, Bucket=bucket, **arguments)
    except StoreFailed as exc:
        if exc.s3_code != "NotImplemented":
            raise
        log.warning("the object storage does not know %s: left out", operation)
