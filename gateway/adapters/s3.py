"""Documents' bytes in S3: presigned permissions for clients, real calls for the gateway itself.

Two clients, because the host is part of what is signed: permissions are signed for the public
endpoint, the gateway's own calls go to the internal one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from gateway.adapters.s3_client import S3Access, S3Client, S3Refused, StoreFailed, make_client
from gateway.domain.documents import (
    Announced,
    ObjectHead,
    content_disposition,
    encoded_filename,
)
from gateway.errors import Conflict, StorageUnavailable
from gateway.ports import Deadline, PresignedUpload

_REFUSED_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"})
# The upload is over, or there is an object already: the caller looks at what is there.
_ASSEMBLED = frozenset({"NoSuchUpload", "PreconditionFailed"})
# The store refuses to write where an object is. A POST form has no such condition, neither as a
# field nor as a header: what it stores again, the core removes.
_ONLY_ONCE = {"IfNoneMatch": "*"}


class S3ObjectStore:
    """``ObjectStore`` on one bucket; ``public`` is where clients reach the same store."""

    def __init__(self, internal: S3Client, public: S3Access, bucket: str) -> None:
        self._internal = internal
        self._signer = make_client(public)
        self._bucket = bucket

    def sign_for(self, public: S3Access) -> None:
        """Other credentials for the permissions from now on."""
        self._signer = make_client(public)

    def presign_post(self, key: str, announced: Announced, *, expires_in_s: int) -> PresignedUpload:
        fields = _headers(announced)
        conditions: list[Any] = [{name: value} for name, value in fields.items()]
        conditions.append(["content-length-range", announced.size, announced.size])
        form = self._signer.generate_presigned_post(
            self._bucket, key, Fields=fields, Conditions=conditions, ExpiresIn=expires_in_s
        )
        return PresignedUpload(url=form["url"], fields=form["fields"], headers={})

    def presign_put(self, key: str, announced: Announced, *, expires_in_s: int) -> PresignedUpload:
        arguments = {**_arguments(announced), "ContentLength": announced.size, **_ONLY_ONCE}
        if announced.sha256 is not None:
            arguments["ChecksumSHA256"] = _base64_of_hex(announced.sha256)
        url = self._presign("put_object", key, arguments, expires_in_s)
        # The length is signed too; every HTTP client sends it, and a browser lets nobody set it.
        headers = {k: v for k, v in _headers(announced).items() if k != _ALGORITHM}
        return PresignedUpload(url=url, fields={}, headers={**headers, "If-None-Match": "*"})

    def presign_part(
        self, key: str, *, upload_id: str, n: int, size: int, expires_in_s: int
    ) -> PresignedUpload:
        arguments = {"UploadId": upload_id, "PartNumber": n, "ContentLength": size}
        url = self._presign("upload_part", key, arguments, expires_in_s)
        return PresignedUpload(url=url, fields={}, headers={})

    def presign_read(
        self,
        key: str,
        *,
        version_id: str | None,
        filename: str,
        content_type: str,
        head: bool,
        expires_in_s: int,
    ) -> str:
        arguments = {
            "ResponseContentDisposition": content_disposition(filename),
            "ResponseContentType": content_type,
            # What a cache kept would outlive the document.
            "ResponseCacheControl": "private, no-store",
        }
        if version_id is not None:
            arguments["VersionId"] = version_id
        # The method is signed too: the store refuses a HEAD of what was signed for a GET.
        return self._presign("head_object" if head else "get_object", key, arguments, expires_in_s)

    def _presign(
        self, operation: str, key: str, arguments: dict[str, Any], expires_in_s: int
    ) -> str:
        params = {"Bucket": self._bucket, "Key": key, **arguments}
        url: str = self._signer.generate_presigned_url(
            operation, Params=params, ExpiresIn=expires_in_s
        )
        return url

    async def create_multipart(self, key: str, announced: Announced, deadline: Deadline) -> str:
        arguments = _arguments(announced)
        try:
            answer = await self._call("create_multipart_upload", deadline, Key=key, **arguments)
        except S3Refused as exc:
            raise StorageUnavailable from exc
        return str(answer["UploadId"])

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[tuple[int, str]], deadline: Deadline
    ) -> None:
        listed = [{"PartNumber": n, "ETag": etag} for n, etag in parts]
        try:
            await self._call(
                "complete_multipart_upload",
                deadline,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},
                **_ONLY_ONCE,
            )
        except S3Refused as exc:
            if exc.s3_code in _REFUSED_PARTS:
                raise Conflict(
                    "These parts do not make up the upload: upload what is missing and send each "
                    "part's ETag."
                ) from exc
            if exc.s3_code not in _ASSEMBLED:
                raise StorageUnavailable from exc

    async def abort_multipart(self, key: str, *, upload_id: str, deadline: Deadline) -> None:
        try:
            await self._call("abort_multipart_upload", deadline, Key=key, UploadId=upload_id)
        except S3Refused as exc:
            if exc.s3_code != "NoSuchUpload":
                raise StorageUnavailable from exc

    async def head(self, key: str, deadline: Deadline) -> ObjectHead | None:
        try:
            answer = await self._call("head_object", deadline, Key=key, ChecksumMode="ENABLED")
        except S3Refused as exc:
            # A HEAD has no body, so its code is the status; a missing *bucket* is 404 as well.
            if exc.http == 404:
                return None
            raise StorageUnavailable from exc
        return ObjectHead(
            size=int(answer["ContentLength"]),
            content_type=str(answer.get("ContentType", "")),
            etag=str(answer["ETag"]),
            version_id=_version(answer.get("VersionId")),
            sha256=_hex_of_base64(answer.get("ChecksumSHA256")),
        )

    async def delete(self, key: str, deadline: Deadline) -> None:
        """A thousand versions a step; what was removed before the deadline stays removed."""
        while found := await self._versions(key, deadline):
            await self._delete_versions(key, found, deadline)

    async def _versions(self, key: str, deadline: Deadline) -> list[str]:
        """The versions and delete markers of exactly ``key``, oldest first: S3 lists by prefix."""
        try:
            answer = await self._call("list_object_versions", deadline, Prefix=key, MaxKeys=1000)
        except S3Refused as exc:
            raise StorageUnavailable from exc
        entries = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
        # S3 lists the newest first. In that order each removal makes a store look for the version
        # that is the newest now: versitygw took five times as long.
        return [str(e["VersionId"]) for e in reversed(entries) if e["Key"] == key]

    async def _delete_versions(self, key: str, versions: Sequence[str], deadline: Deadline) -> None:
        objects = [{"Key": key, "VersionId": version_id} for version_id in versions]
        try:
            answer = await self._call(
                "delete_objects", deadline, Delete={"Objects": objects, "Quiet": True}
            )
        except S3Refused as exc:
            raise StorageUnavailable from exc
        # One that somebody else removed meanwhile is no error to S3.
        for error in answer.get("Errors", ()):
            raise StorageUnavailable from StoreFailed(str(error.get("Code")))

    async def check(self, deadline: Deadline) -> None:
        await self._internal.check_bucket(self._bucket, deadline)

    async def _call(self, operation: str, deadline: Deadline, **arguments: Any) -> dict[str, Any]:
        return await self._internal.call(operation, deadline, Bucket=self._bucket, **arguments)

    def close(self) -> None:
        self._signer.close()


_CHECKSUM = "x-amz-checksum-sha256"
_ALGORITHM = "x-amz-checksum-algorithm"


def _headers(announced: Announced) -> dict[str, str]:
    """What the client sends word for word, as form fields or headers."""
    headers = {
        "Content-Type": announced.content_type,
        "Content-Disposition": content_disposition(announced.filename),
        "x-amz-meta-filename": encoded_filename(announced.filename),
    }
    if announced.sha256 is not None:
        headers |= {_ALGORITHM: "SHA256", _CHECKSUM: _base64_of_hex(announced.sha256)}
    return headers


def _arguments(announced: Announced) -> dict[str, Any]:
    """The same as arguments of botocore's calls."""
    return {
        "ContentType": announced.content_type,
        "ContentDisposition": content_disposition(announced.filename),
        "Metadata": {"filename": encoded_filename(announced.filename)},
    }


def _base64_of_hex(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()


def _hex_of_base64(digest: str | None) -> str | None:
    """``None`` for no checksum, and for one of parts (``…-3``), which is not the object's."""
    if digest is None or "-" in digest:
        return None
    try:
        return base64.b64decode(digest, validate=True).hex()
    except binascii.Error:
        return None


def _version(version_id: str | None) -> str | None:
    """``"null"`` is what S3 calls the version of an object written without versioning."""
    return None if version_id in (None, "null") else version_id
