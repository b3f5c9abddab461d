"""API keys in a bucket of their own, which the core's credentials cannot reach.

Two objects a key: the record at ``keys/<key_id>.json`` and an empty one in the owner's index, at
``owners/<tenant>/<owner>/<key_id>``. The index entry is written first: a failure in between leaves
an entry without a record, which listings skip, never a key that its owner cannot see. Records are
written conditionally (``If-None-Match``, ``If-Match``): of two changes at once one wins.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Final, NoReturn

import msgspec

from gateway.adapters.s3_client import S3Client, S3Refused
from gateway.domain.api_keys import KeyRecord, StoredKey, is_key_id
from gateway.domain.identity import is_name
from gateway.errors import Conflict, StorageUnavailable
from gateway.ports import Deadline

_VERSION: Final = 1
_RECORD_LIMIT_BYTES: Final = 64 * 1024
_LIST_LIMIT: Final = 1000
# A listing leaves half of the client's threads to the look-ups that requests wait for.
_LIST_READS_AT_ONCE: Final = 8
_SHA256_HEX = re.compile(r"[0-9a-f]{64}\Z")

log = logging.getLogger(__name__)


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    """A record object: its format's version and the record."""

    version: int
    key: KeyRecord


class S3KeyStore:
    """Implements ``ports.KeyStore``."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def get(self, key_id: str, deadline: Deadline) -> StoredKey | None:
        """Raises ``StorageUnavailable``, also when what is stored there is no such key's record."""
        try:
            body, version = await self._client.run(partial(self._read, key_id), deadline)
        except S3Refused as exc:
            # ``NoSuchBucket`` is a 404 as well, and says nothing about the key.
            if exc.s3_code == "NoSuchKey":
                return None
            _unavailable("read", exc)
        return StoredKey(_decoded(key_id, body), version)

    async def create(self, record: KeyRecord, deadline: Deadline) -> None:
        """Raises ``Conflict`` when the id is taken."""
        try:
            await self._client.call(
                "put_object", deadline, Bucket=self._bucket, Key=_index_path(record), Body=b""
            )
        except S3Refused as exc:
            _unavailable("index", exc)
        await self._put(record, deadline, IfNoneMatch="*")

    async def replace(self, record: KeyRecord, version: str, deadline: Deadline) -> None:
        """Raises ``Conflict`` when the record is no longer at ``version``, or gone."""
        await self._put(record, deadline, IfMatch=version)

    async def list(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[StoredKey]:
        """All keys of one owner, in no order. An unreadable one is logged and left out."""
        turns = asyncio.Semaphore(_LIST_READS_AT_ONCE)

        async def read(key_id: str) -> StoredKey | None:
            async with turns:
                return await self._listed(key_id, deadline)

        found = await asyncio.gather(*map(read, await self._index(tenant, owner, deadline)))
        return [key for key in found if key and _is_owned(key.record, tenant, owner)]

    async def remove(self, record: KeyRecord, deadline: Deadline) -> None:
        """The record first: an index entry without one is skipped, the reverse would be hidden."""
        try:
            for path in (_record_path(record.key_id), _index_path(record)):
                await self._client.call("delete_object", deadline, Bucket=self._bucket, Key=path)
        except S3Refused as exc:
            _unavailable("remove", exc)

    async def check(self, deadline: Deadline) -> None:
        """Raises ``StorageUnavailable`` unless the bucket answers."""
        await self._client.check_bucket(self._bucket, deadline)

    def _read(self, key_id: str) -> tuple[bytes, str]:
        """In a thread: the body is read there too."""
        answer = self._client.sync.get_object(Bucket=self._bucket, Key=_record_path(key_id))
        with answer["Body"] as body:
            return body.read(_RECORD_LIMIT_BYTES + 1), answer["ETag"]

    async def _put(self, record: KeyRecord, deadline: Deadline, **condition: str) -> None:
        try:
            await self._client.call(
                "put_object",
                deadline,
                Bucket=self._bucket,
                Key=_record_path(record.key_id),
                Body=_encoded(record),
                ContentType="application/json",
                **condition,
            )
        except S3Refused as exc:
            # 409 is AWS's word for two conditional writes at the very same time; 404 with
            # ``If-Match`` says the record is gone.
            if exc.http in {409, 412} or exc.s3_code == "NoSuchKey":
                raise Conflict("The key was changed at the same moment: try again.") from exc
            _unavailable("write", exc)

    async def _index(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[str]:
        prefix = f"owners/{tenant}/{owner}/"
        try:
            answer = await self._client.call(
                "list_objects_v2",
                deadline,
                Bucket=self._bucket,
                Prefix=prefix,
                MaxKeys=_LIST_LIMIT,
            )
        except S3Refused as exc:
            _unavailable("list", exc)
        names = (entry["Key"].removeprefix(prefix) for entry in answer.get("Contents", []))
        return [name for name in names if is_key_id(name)]

    async def _listed(self, key_id: str, deadline: Deadline) -> StoredKey | None:
        try:
            return await self.get(key_id, deadline)
        except _CorruptRecord:
            return None


class _CorruptRecord(StorageUnavailable):
    """There is a record and it cannot be believed: never a pass, and not a miss either."""


def _record_path(key_id: str) -> str:
    return f"keys/{key_id}.json"


def _index_path(record: KeyRecord) -> str:
    return f"owners/{record.tenant}/{record.owner}/{record.key_id}"


def _is_owned(record: KeyRecord, tenant: str, owner: str) -> bool:
    return (record.tenant, record.owner) == (tenant, owner)


def _encoded(record: KeyRecord) -> bytes:
    return msgspec.json.encode(_Stored(_VERSION, record), order="sorted")


def _decoded(key_id: str, body: bytes) -> KeyRecord:
    try:
        stored = msgspec.json.decode(body, type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        log.error("API key record %s is corrupt: %s", key_id, exc)
        raise _CorruptRecord from exc
    is_whole = len(body) <= _RECORD_LIMIT_BYTES and stored.version == _VERSION
    if not is_whole or not _is_believable(stored.key, key_id):
        log.error("API key record %s is corrupt: it is not what this gateway writes", key_id)
        raise _CorruptRecord
    return stored.key


def _is_believable(record: KeyRecord, key_id: str) -> bool:
    return (
        record.key_id == key_id
        and is_name(record.tenant)
        and is_name(record.owner)
        and bool(record.scopes)
        and bool(record.secrets)
        and all(_SHA256_HEX.match(secret.sha256) for secret in record.secrets)
    )


def _unavailable(what: str, exc: S3Refused) -> NoReturn:
    log.error("API key store: %s refused: %s (%d)", what, exc.s3_code, exc.http)
    raise StorageUnavailable from exc
