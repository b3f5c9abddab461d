"""Revocations in the keys' bucket: an empty object each, whose name says it all.

``revoked/<when>.<text>``: a store lists names in their order, so that those of the last minutes are
found without reading the others. ``when`` is by the clock of the replica that wrote it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from gateway.adapters.s3_client import S3Client, S3Refused
from gateway.errors import StorageUnavailable
from gateway.ports import Deadline

PREFIX: Final = "revoked/"
# By how much the clock of another replica may be behind without its names being passed over.
_CLOCKS_DIFFER_S: Final = 300
_DELETES_AT_ONCE: Final = 1000

log = logging.getLogger(__name__)


class S3Revocations:
    """Implements ``ports.RevocationStore``. ``time`` gives Unix seconds."""

    def __init__(self, client: S3Client, bucket: str, time: Callable[[], float]) -> None:
        self._client = client
        self._bucket = bucket
        self._time = time

    async def add(self, text: str, deadline: Deadline) -> None:
        name = f"{PREFIX}{int(self._time()):012d}.{text}"
        try:
            await self._client.call("put_object", deadline, Bucket=self._bucket, Key=name, Body=b"")
        except S3Refused as exc:
            _unavailable("write", exc)

    async def list(self, since: float, deadline: Deadline) -> Sequence[str]:
        names = await self._listed(max(int(since) - _CLOCKS_DIFFER_S, 0), deadline)
        return [_text(name) for name in names]

    async def _listed(self, since_s: int, deadline: Deadline) -> Sequence[str]:
        """All of them: a store gives at most 1,000 names at a time."""
        more: dict[str, Any] = {"StartAfter": f"{PREFIX}{since_s:012d}"} if since_s else {}
        names: list[str] = []
        while True:
            try:
                answer = await self._client.call(
                    "list_objects_v2", deadline, Bucket=self._bucket, Prefix=PREFIX, **more
                )
            except S3Refused as exc:
                _unavailable("list", exc)
            names += [entry["Key"] for entry in answer.get("Contents", [])]
            if not answer.get("IsTruncated"):
                return names
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def tidy(self, is_over: Callable[[str], bool], deadline: Deadline) -> int:
        over = [name for name in await self._listed(0, deadline) if is_over(_text(name))]
        try:
            for at in range(0, len(over), _DELETES_AT_ONCE):
                objects = [{"Key": name} for name in over[at : at + _DELETES_AT_ONCE]]
                delete = {"Objects": objects, "Quiet": True}
                await self._client.call(
                    "delete_objects", deadline, Bucket=self._bucket, Delete=delete
                )
        except S3Refused as exc:
            _unavailable("remove", exc)
        return len(over)

    async def check(self, deadline: Deadline) -> None:
        """Raises ``StorageUnavailable`` unless they can be listed."""
        try:
            await self._client.call(
                "list_objects_v2", deadline, Bucket=self._bucket, Prefix=PREFIX, MaxKeys=1
            )
        except S3Refused as exc:
            raise StorageUnavailable from exc


def _text(name: str) -> str:
    """What is behind the time; another version's names are read as far as they go."""
    return name.removeprefix(PREFIX).partition(".")[2]


def _unavailable(what: str, exc: S3Refused) -> NoReturn:
    log.error("revocations: %s refused: %s (%d)", what, exc.s3_code, exc.http)
    raise StorageUnavailable from exc
