"""The bucket of uploaded objects, over boto3. Everything here blocks: call it from a thread."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from devstack.core.settings import StorageSettings

READ_BYTES = 1024 * 1024
# S3's own limit for one call.
REMOVED_AT_ONCE = 1000
_GONE = {"NoSuchKey", "NoSuchVersion", "NoSuchUpload", "404", "NotFound"}
_CHANGED = {"PreconditionFailed", "412"}
_NOT_OFFERED = {"NotImplemented", "MethodNotAllowed", "501", "405"}


class ObjectGone(Exception):
    """The object, or the version that was completed, is not there."""


class ObjectChanged(Exception):
    """The object is another one than was completed."""


class ObjectTooLong(Exception):
    """The object is longer than announced."""


class NotRemoved(Exception):
    """The store refused to remove a version; the message is the store's code."""


# What a call may raise when the store is away, or cannot.
OUTAGES = (BotoCoreError, ClientError, NotRemoved)


class Interrupted(Exception):
    """Somebody set the stop event during a download."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What was read: its size in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of an object, or a delete marker; ``version_id`` is None without versioning."""

    key: str
    version_id: str | None
    is_marker: bool = False


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str


class Storage:
    """Objects under one bucket; network faults surface as botocore's own exceptions."""

    def __init__(self, settings: StorageSettings) -> None:
        self._bucket = settings.bucket
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=3,
                read_timeout=20,
                # The activities retry; two layers of retries would only hide a fault for longer.
                retries={"total_max_attempts": 2, "mode": "standard"},
                max_pool_connections=16,
            ),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def download(
        self,
        key: str,
        target: Path,
        *,
        version_id: str | None,
        etag: str | None,
        limit_bytes: int,
        stop: threading.Event,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Downloaded:
        """Copy exactly the completed object to ``target``: that version, else only if it matches.

        Raises:
            ObjectGone, ObjectChanged: it is not there, or is another one.
            ObjectTooLong: it has more than ``limit_bytes``; what was read is no use.
            Interrupted: ``stop`` was set.
        """
        pin = {"VersionId": version_id} if version_id else {"IfMatch": etag or ""}
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=key, **pin)["Body"]
        except ClientError as fault:
            code = fault.response.get("Error", {}).get("Code", "")
            if code in _GONE:
                raise ObjectGone(key) from fault
            if code in _CHANGED:
                raise ObjectChanged(key) from fault
            raise
        digest, size = hashlib.sha256(), 0
        with body, target.open("wb") as file:
            for block in iter(lambda: body.read(READ_BYTES), b""):
                if stop.is_set():
                    raise Interrupted
                size += len(block)
                if size > limit_bytes:
                    raise ObjectTooLong(key)
                digest.update(block)
                file.write(block)
                progress(size)
        return Downloaded(size, digest.hexdigest())

    def remove(self, key: str) -> None:
        """Remove an object with all its versions and delete markers; fine when there is none."""
        self.remove_versions(version for version in self.versions(key) if version.key == key)

    def remove_versions(self, versions: Iterable[StoredVersion]) -> int:
        """Remove versions for good, a thousand a call; how many.

        What was removed before a fault stays removed.

        Raises:
            NotRemoved: the store refused one of them.
        """
        removed, rest = 0, iter(versions)
        while batch := list(islice(rest, REMOVED_AT_ONCE)):
            self._remove_batch(batch)
            removed += len(batch)
        return removed

    def _remove_batch(self, batch: list[StoredVersion]) -> None:
        # Listed newest first, removed oldest first: in the other order each removal makes a store
        # look for the version that is the newest now, and versitygw took five times as long.
        objects = [_named(version) for version in reversed(batch)]
        answer = self._client.delete_objects(
            Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
        )
        # One that somebody else removed meanwhile is no error to S3.
        for error in answer.get("Errors", ()):
            raise NotRemoved(error.get("Code"))

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """Every version and delete marker under a prefix; plain objects where none are kept.

        What was given may be removed while the rest is still being listed.
        """
        pages = self._pages("list_object_versions", prefix)
        try:
            for page in pages:
                for entry in page.get("Versions", ()):
                    yield StoredVersion(entry["Key"], entry["VersionId"])
                for entry in page.get("DeleteMarkers", ()):
                    yield StoredVersion(entry["Key"], entry["VersionId"], is_marker=True)
        except ClientError as fault:
            if fault.response.get("Error", {}).get("Code", "") not in _NOT_OFFERED:
                raise
            yield from self._objects(prefix)

    def _objects(self, prefix: str) -> Iterator[StoredVersion]:
        for page in self._pages("list_objects_v2", prefix):
            for entry in page.get("Contents", ()):
                yield StoredVersion(entry["Key"], None)

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """Every multipart upload under a prefix that is still open; see ``versions``.

        A thousand of one key at most: the next listing begins behind that key, because versitygw
        refuses the other marker that S3 has, an upload's id.
        """
        more, behind = True, ""
        while more:
            page = self._client.list_multipart_uploads(
                Bucket=self._bucket, Prefix=prefix, KeyMarker=behind
            )
            for entry in page.get("Uploads", ()):
                yield OpenUpload(entry["Key"], entry["UploadId"])
            more, behind = page.get("IsTruncated", False), page.get("NextKeyMarker", "")

    def _pages(self, operation: str, prefix: str) -> Iterator[dict[str, Any]]:
        """The pages of a listing, each given when the next one is there already.

        A page begins after the last entry of the one before. If that was removed meanwhile,
        versitygw finds nothing more.
        """
        pages = self._client.get_paginator(operation).paginate(Bucket=self._bucket, Prefix=prefix)
        before = None
        for page in pages:
            if before is not None:
                yield before
            before = page
        if before is not None:
            yield before

    def abort(self, key: str, upload_id: str) -> None:
        """Abort a multipart upload and free its parts; fine when it is over already."""
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
        except ClientError as fault:
            if fault.response.get("Error", {}).get("Code", "") not in _GONE:
                raise


def _named(version: StoredVersion) -> dict[str, str]:
    pin = {} if version.version_id is None else {"VersionId": version.version_id}
    return {"Key": version.key, **pin}
