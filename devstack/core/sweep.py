"""The sweep: what a deletion or an expiry could not remove because it came later or was missed.

A POST form may be used again until it expires, also after its document was indexed or deleted, and
no store can be asked to refuse that. So of a document that is being processed, or was, only the
version that was completed stays, and of one that is over, nothing.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from devstack.core.documents import OBJECT_PREFIX, announced_at, owner_of_key
from devstack.core.index import IndexBuilder
from devstack.core.registry import Registry
from devstack.core.storage import Storage, StoredVersion

logger = logging.getLogger(__name__)

# An upload expires long before, so nobody can still be sending. Counted from the document's id:
# not every S3 server reports correctly when a multipart upload was begun.
MULTIPART_LIFETIME = timedelta(days=7)


class Sweep:
    """One pass over storage, staging and indexes; each can be run at any time, by anybody."""

    def __init__(
        self, registry: Registry, builder: IndexBuilder, storage: Storage, staging: Path
    ) -> None:
        self._registry = registry
        self._builder = builder
        self._storage = storage
        self._staging = staging

    async def run_every(self, interval_s: float) -> None:
        """Sweep for ever; a pass that fails is logged, and the next one finds the rest."""
        while True:
            for part in (self.remove_objects, self.abort_uploads, self.clear_staging,
                         self.refresh_indexes):  # fmt: skip
                try:
                    await asyncio.to_thread(part)
                except Exception:
                    logger.exception("sweep: %s failed", part.__name__)
            await asyncio.sleep(interval_s)

    def remove_objects(self) -> int:
        """Remove the versions that belong to no document, or are not the one it is; how many."""
        return remove_leftovers(self._registry, self._storage, OBJECT_PREFIX)

    def abort_uploads(self) -> int:
        """Abort multipart uploads of such documents, and those nobody finished in a week."""
        aborted = 0
        for upload in self._storage.open_uploads(OBJECT_PREFIX):
            if self._is_over(upload.key) or _is_ancient(upload.key):
                self._storage.abort(upload.key, upload.upload_id)
                aborted += 1
        return aborted

    def clear_staging(self) -> None:
        """Remove working copies of documents that are not being processed."""
        for directory in self._staging.glob("*/*/*"):
            named = owner_of_key(f"{OBJECT_PREFIX}{directory.relative_to(self._staging)}")
            record = None if named is None else self._registry.get(*named)
            if record is None or record.status != "processing":
                shutil.rmtree(directory, ignore_errors=True)

    def refresh_indexes(self) -> None:
        """Build indexes that lag behind, because whoever should have built them ended before."""
        for owner in self._registry.stale_owners():
            try:
                self._builder.refresh(owner)
            except Exception:
                # The others' are built all the same.
                logger.exception("sweep: the index of %s was not built", owner)

    def _is_over(self, key: str) -> bool:
        named = owner_of_key(key)
        return named is not None and self._registry.is_over(*named)


def remove_leftovers(registry: Registry, storage: Storage, prefix: str) -> int:
    """Remove the versions under a prefix that nobody needs any more; how many.

    Raises:
        storage.OUTAGES: the store cannot now; what was removed before stays removed.
    """
    removed = storage.remove_versions(_leftovers(registry, storage.versions(prefix)))
    if removed:
        logger.info("removed %d object versions", removed)
    return removed


def _leftovers(registry: Registry, versions: Iterator[StoredVersion]) -> Iterator[StoredVersion]:
    for key, of_one in groupby(versions, attrgetter("key")):
        named = owner_of_key(key)
        if named is None:
            continue
        if registry.is_over(*named):
            yield from of_one
        # Without a version that is known to be the right one, any of them may become it.
        elif (pinned := registry.pinned(*named)) is not None:
            yield from (v for v in of_one if v.version_id != pinned and not v.is_marker)


def _is_ancient(key: str) -> bool:
    named = owner_of_key(key)
    if named is None:
        return False
    try:
        return announced_at(named[1]) < datetime.now(UTC) - MULTIPART_LIFETIME
    except OverflowError:
        return False  # an id that claims a year after 9999
