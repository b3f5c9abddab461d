"""API keys in a bucket of their own, which the core's credentials cannot reach.

Two objects a key: the record at ``keys/<key_id>.json`` and an empty one in the owner's index, at
``owners/<tenant>/<owner>/<key_id>``. The record is written first, and removed last: whatever fails
in between leaves a record that no index names. Nobody can use such a key, because its secret is
given out only once both are written, and only dead keys are removed. The other order would leave
index entries that every listing has to look up; those of earlier versions are removed as listings
meet them. Records are written conditionally (``If-None-Match``, ``If-Match``), so that of two
changes at once one wins; only a revocation, which must win, overwrites.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from gateway.adapters.s3_client import S3Client, S3Refused
from gateway.domain.api_keys import KeyRecord, StoredKey, is_key_id
from gateway.domain.identity import is_name
from gateway.errors import Conflict, StorageUnavailable
from gateway.ports import Deadline

_VERSION: Final = 1
_RECORD_LIMIT_BYTES: Final = 64 * 1024
# An index entry without a record is removed at this age, by the store's clock: an earlier version
# wrote the entry first, and one of its creations may be under way while replicas are replaced.
_STRAY_AGE_S: Final = 300.0
# What removing strays may add to a listing that had not enough time, in seconds.
_REPAIR_S: Final = 1.0
_DELETES_AT_ONCE: Final = 1000
# A listing leaves half of the client's threads to the look-ups that requests wait for.
_LIST_READS_AT_ONCE: Final = 8
_SHA256_HEX = re.compile(r"[0-9a-f]{64}\Z")

log = logging.getLogger(__name__)


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    """A record object: its format's version and the record."""

    version: int
    key: KeyRecord


class _IndexEntry(NamedTuple):
    """An entry of an owner's index. ``age_s`` is by the store's own clock."""

    key_id: str
    path: str
    age_s: float


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
        await self._put(record, deadline, IfNoneMatch="*")
        try:
            await self._client.call(
                "put_object", deadline, Bucket=self._bucket, Key=_index_path(record), Body=b""
            )
        except S3Refused as exc:
            _unavailable("index", exc)

    async def replace(self, record: KeyRecord, version: str, deadline: Deadline) -> None:
        """Raises ``Conflict`` when the record is no longer at ``version``, or gone."""
        await self._put(record, deadline, IfMatch=version)

    async def overwrite(self, record: KeyRecord, deadline: Deadline) -> None:
        """Writes the record whatever is there: a change under way meanwhile has lost."""
        await self._put(record, deadline)

    async def list(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[StoredKey]:
        """All keys of one owner, in no order. An unreadable one is logged and left out.

        Index entries without a record are removed, also where there was no time for the rest: the
        next listing has less to do.
        """
        turns = asyncio.Semaphore(_LIST_READS_AT_ONCE)
        found: list[StoredKey] = []
        strays: list[str] = []

        async def read(entry: _IndexEntry) -> None:
            async with turns:
                key, is_missing = await self._listed(entry.key_id, deadline)
            if key is not None and _is_owned(key.record, tenant, owner):
                found.append(key)
            if is_missing and entry.age_s >= _STRAY_AGE_S:
                strays.append(entry.path)

        try:
            async with asyncio.TaskGroup() as reads:
                for entry in await self._index(tenant, owner, deadline):
                    reads.create_task(read(entry), name="key-listing")
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            await self._remove_strays(strays)
        return found

    async def remove(self, record: KeyRecord, deadline: Deadline) -> None:
        """The index entry first: see above. The record is of a dead key and can stay behind."""
        try:
            for path in (_index_path(record), _record_path(record.key_id)):
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

    async def _index(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[_IndexEntry]:
        """All of it: a store gives at most 1,000 names at a time."""
        prefix = f"owners/{tenant}/{owner}/"
        entries: list[_IndexEntry] = []
        more: dict[str, str] = {}
        while True:
            try:
                answer = await self._client.call(
                    "list_objects_v2", deadline, Bucket=self._bucket, Prefix=prefix, **more
                )
            except S3Refused as exc:
                _unavailable("list", exc)
            entries += _entries(answer, prefix)
            if not answer.get("IsTruncated"):
                return entries
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def _listed(self, key_id: str, deadline: Deadline) -> tuple[StoredKey | None, bool]:
        """The key, where it can be read; and whether there is none."""
        try:
            key = await self.get(key_id, deadline)
        except _CorruptRecord:
            return None, False
        return key, key is None

    async def _remove_strays(self, paths: Sequence[str]) -> None:
        """Best effort: what stays is met by the next listing."""
        deadline = asyncio.get_running_loop().time() + _REPAIR_S
        with suppress(S3Refused, StorageUnavailable):
            for at in range(0, len(paths), _DELETES_AT_ONCE):
                objects = [{"Key": path} for path in paths[at : at + _DELETES_AT_ONCE]]
                delete = {"Objects": objects, "Quiet": True}
                await self._client.call(
                    "delete_objects", deadline, Bucket=self._bucket, Delete=delete
                )
                log.warning("API key index: %d entries without a record removed", len(objects))


class _CorruptRecord(StorageUnavailable):
    """There is a record and it cannot be believed: never a pass, and not a miss either."""


def _record_path(key_id: str) -> str:
    return f"keys/{key_id}.json"


def _index_path(record: KeyRecord) -> str:
    return f"owners/{record.tenant}/{record.owner}/{record.key_id}"


def _entries(answer: Mapping[str, Any], prefix: str) -> Iterator[_IndexEntry]:
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    for entry in answer.get("Contents", []):
        key_id = entry["Key"].removeprefix(prefix)
        if is_key_id(key_id):
            age_s = (now - entry["LastModified"]).total_seconds()
            yield _IndexEntry(key_id, entry["Key"], age_s)


def _is_owned(record: KeyRecord, tenant: str, owner: str) -> bool:
    return (record.tenant, record.owner) == (tenant, owner)


def _encoded(record: KeyRecord) -> bytes:
    return msgspec.json.encode(_Stored(_VERSION, record), order="sorted")


def _decoded(key_id: str, body: bytes) -> KeyRecord:
    try:
        stored = msgspec.json.decode(body, type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
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
