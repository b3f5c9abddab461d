"""Who people of the company were at their last sign-in, beside their API keys.

One small object each, ``people/<subject>.json``, in the keys' bucket. It is written conditionally:
of two sign-ins at once, at whatever replicas, the later one stays.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final, NoReturn

import msgspec

from gateway.adapters.s3_client import S3Client, S3Refused
from gateway.domain.company import SeenPerson, is_company_subject
from gateway.domain.identity import is_name, is_role
from gateway.errors import StorageUnavailable
from gateway.ports import Deadline

_VERSION: Final = 1
_LIMIT_BYTES: Final = 64 * 1024
# How often a write that meets another one reads again.
_TRIES: Final = 3

log = logging.getLogger(__name__)


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    person: SeenPerson


class S3People:
    """Implements ``ports.People``."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def get(self, subject: str, deadline: Deadline) -> SeenPerson | None:
        """Raises ``StorageUnavailable``, also for what is no such record: never a pass."""
        body, _ = await self._stored(subject, deadline)
        if body is None:
            return None
        found = _decoded(subject, body)
        if found is None:
            raise StorageUnavailable from ValueError(f"the record of {subject} is corrupt")
        return found

    async def put(self, person: SeenPerson, deadline: Deadline) -> None:
        """What is no record makes room for one."""
        for _ in range(_TRIES):
            body, version = await self._stored(person.subject, deadline)
            found = None if body is None else _decoded(person.subject, body)
            if found is not None and found.signed_in_at > person.signed_in_at:
                return
            if await self._written(person, version, deadline):
                return
        raise StorageUnavailable from TimeoutError("the record is written by others all the time")

    async def _stored(self, subject: str, deadline: Deadline) -> tuple[bytes | None, str | None]:
        """What is stored, and its version; nothing where there is none."""
        try:
            return await self._client.run(partial(self._read, subject), deadline)
        except S3Refused as exc:
            # ``NoSuchBucket`` is a 404 as well, and says nothing about the person.
            if exc.s3_code == "NoSuchKey":
                return None, None
            _unavailable("read", exc)

    def _read(self, subject: str) -> tuple[bytes, str]:
        """In a thread: the body is read there too."""
        answer = self._client.sync.get_object(Bucket=self._bucket, Key=_path(subject))
        with answer["Body"] as body:
            return body.read(_LIMIT_BYTES + 1), answer["ETag"]

    async def _written(self, person: SeenPerson, version: str | None, deadline: Deadline) -> bool:
        """Whether it could be written over just that version."""
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        try:
            await self._client.call(
                "put_object",
                deadline,
                Bucket=self._bucket,
                Key=_path(person.subject),
                Body=msgspec.json.encode(_Stored(_VERSION, person), order="sorted"),
                ContentType="application/json",
                **condition,
            )
        except S3Refused as exc:
            # 409 is AWS's word for two conditional writes at the very same time; 404 with
            # ``If-Match`` says the record is gone.
            if exc.http in {409, 412} or exc.s3_code == "NoSuchKey":
                return False
            _unavailable("write", exc)
        return True


def _path(subject: str) -> str:
    return f"people/{subject}.json"


def _decoded(subject: str, body: bytes) -> SeenPerson | None:
    """``None`` for what this gateway does not write."""
    try:
        stored = msgspec.json.decode(body, type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        log.error("the record of %s is corrupt: %s", subject, exc)
        return None
    if len(body) > _LIMIT_BYTES or stored.version != _VERSION or not _is_whole(stored, subject):
        log.error("the record of %s is corrupt: it is not what this gateway writes", subject)
        return None
    return stored.person


def _is_whole(stored: _Stored, subject: str) -> bool:
    person = stored.person
    return (
        person.subject == subject
        and is_company_subject(subject)
        and is_name(person.tenant)
        and all(is_role(role) for role in person.roles)
    )


def _unavailable(what: str, exc: S3Refused) -> NoReturn:
    log.error("people: %s refused: %s (%d)", what, exc.s3_code, exc.http)
    raise StorageUnavailable from exc
