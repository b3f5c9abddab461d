"""The records both processes share, in SQLite: documents, tombstones, pinned versions, chunks and
index pointers.

Every change that must not race a deletion happens in one ``BEGIN IMMEDIATE`` transaction which
looks for the tombstone first. A deletion writes the tombstone and removes record and chunks in one
transaction too, so whichever commits second sees the other: an id with a tombstone is never written
again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devstack.core.chunks import Chunk, from_row, to_row
from devstack.core.documents import Announced, Owner, Record, Status, rfc3339
from devstack.core.schema import REVISIONS, SCHEMA, upgrade

BUSY_TIMEOUT_S = 15.0
QUESTIONS_PER_CONVERSATION = 5
CONVERSATIONS_PER_OWNER = 50

_RECORD = (
    "document_id, filename, content_type, size, sha256, status, error, created_at, updated_at,"
    " chunks, (SELECT version_id FROM pins WHERE pins.tenant = documents.tenant"
    " AND pins.owner = documents.owner AND pins.document_id = documents.document_id), warnings"
)
_OWNED = "tenant = ? AND owner = ?"
_ONE = _OWNED + " AND document_id = ?"


class DocumentDeleted(Exception):
    """The document was deleted: there is a tombstone under its id, so nothing may be written."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All chunks of one owner, and the files they are of, as of one revision."""

    revision: int
    chunks: tuple[Chunk, ...]
    filenames: dict[str, str]


@dataclass(frozen=True, slots=True)
class Searchable:
    """What a question may see: the generation to open and the indexed documents' filenames."""

    generation: str | None
    filenames: dict[str, str]


class Registry:
    """One SQLite file in WAL mode; one connection a process, behind a lock.

    Its statements are short, so callers on an event loop put them on a thread and never wait long.
    """

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._path = data_dir / "registry.sqlite3"
        self._lock = threading.Lock()
        self._connection = self._connect()
        self._connection.executescript(SCHEMA + REVISIONS)
        with self._transaction("IMMEDIATE") as connection:
            upgrade(connection)

    def close(self) -> None:
        """Close the connection; nothing can be asked afterwards."""
        with self._lock:
            self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Deleted passages are overwritten with zeros instead of lingering in free pages.
        connection.execute("PRAGMA secure_delete = ON")
        return connection

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _writing(self, owner: Owner, document_id: str) -> Iterator[sqlite3.Connection]:
        """A write about one document, which a tombstone refuses."""
        with self._transaction("IMMEDIATE") as connection:
            if _exists(connection, "tombstones", owner, document_id):
                raise DocumentDeleted(document_id)
            yield connection

    # Documents

    def begin(self, announced: Announced, created_at: datetime) -> None:
        """Write the record of a document being processed; again for a retry.

        Raises:
            DocumentDeleted: when its id has a tombstone.
        """
        self._put(announced, created_at, "processing", None)

    def pin(self, owner: Owner, document_id: str, version_id: str) -> None:
        """Keep which version of its object this document is; all others may be removed.

        Raises:
            DocumentDeleted: when its id has a tombstone.
        """
        with self._writing(owner, document_id) as connection:
            connection.execute(
                "INSERT INTO pins VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET version_id = excluded.version_id",
                (owner.tenant, owner.subject, document_id, version_id),
            )

    def pinned(self, owner: Owner, document_id: str) -> str | None:
        """The version kept by ``pin``, or None when none was."""
        with self._transaction("DEFERRED") as connection:
            row = connection.execute(
                f"SELECT version_id FROM pins WHERE {_ONE}",
                (owner.tenant, owner.subject, document_id),
            ).fetchone()
        return None if row is None else str(row[0])

    def finish(
        self, announced: Announced, created_at: datetime, status: Status, error: str | None
    ) -> None:
        """Write how a document ended when it did not get indexed, and drop what was indexed of it.

        Raises:
            DocumentDeleted: when its id has a tombstone.
        """
        self._put(announced, created_at, status, error)

    def _put(
        self, announced: Announced, created_at: datetime, status: Status, error: str | None
    ) -> None:
        owner, document_id = announced.owner, announced.document_id
        with self._writing(owner, document_id) as connection:
            _drop_chunks(connection, owner, document_id)
            connection.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL)"
                " ON CONFLICT DO UPDATE SET status = excluded.status, error = excluded.error,"
                " updated_at = excluded.updated_at, chunks = 0, warnings = NULL",
                (
                    *(owner.tenant, owner.subject, document_id),
                    *(announced.filename, announced.content_type, announced.size),
                    *(announced.sha256, status, error, rfc3339(created_at), _now()),
                ),
            )

    def put_chunks(
        self,
        owner: Owner,
        document_id: str,
        chunks: Sequence[Chunk],
        warnings: Sequence[str] = (),
    ) -> None:
        """Replace a document's chunks and warnings, which makes the owner's index stale.

        Raises:
            DocumentDeleted: when its id has a tombstone.
        """
        with self._writing(owner, document_id) as connection:
            _drop_chunks(connection, owner, document_id)
            connection.executemany(
                "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((owner.tenant, owner.subject, *to_row(chunk)) for chunk in chunks),
            )
            connection.execute(
                f"UPDATE documents SET warnings = ? WHERE {_ONE}",
                (json.dumps(list(warnings)), owner.tenant, owner.subject, document_id),
            )
            _touch(connection, owner)

    def mark_indexed(self, owner: Owner, document_id: str, sha256: str) -> None:
        """Make a document whose chunks are in the current generation visible to questions.

        Raises:
            DocumentDeleted: when its id has a tombstone.
        """
        key = (owner.tenant, owner.subject, document_id)
        with self._writing(owner, document_id) as connection:
            connection.execute(
                "UPDATE documents SET status = 'indexed', error = NULL, sha256 = ?, updated_at = ?,"
                f" chunks = (SELECT count(*) FROM chunks WHERE {_ONE}) WHERE {_ONE}",
                (sha256, _now(), *key, *key),
            )

    def get(self, owner: Owner, document_id: str) -> Record | None:
        """One record, or None when the owner has none of that id."""
        with self._transaction("DEFERRED") as connection:
            row = connection.execute(
                f"SELECT {_RECORD} FROM documents WHERE {_ONE}",
                (owner.tenant, owner.subject, document_id),
            ).fetchone()
        return None if row is None else _record(row)

    def page(self, owner: Owner, limit: int, cursor: str | None) -> list[Record]:
        """Up to ``limit`` records, newest first, of ids below ``cursor``."""
        before = cursor if cursor is not None else "~"  # sorts behind every id
        with self._transaction("DEFERRED") as connection:
            rows = connection.execute(
                f"SELECT {_RECORD} FROM documents WHERE {_OWNED} AND document_id < ?"
                " ORDER BY document_id DESC LIMIT ?",
                (owner.tenant, owner.subject, before, limit),
            ).fetchall()
        return [_record(row) for row in rows]

    def tombstone(self, owner: Owner, document_id: str) -> None:
        """Delete a document for good, known or not: tombstone in, record and chunks out."""
        with self._transaction("IMMEDIATE") as connection:
            key = (owner.tenant, owner.subject, document_id)
            connection.execute(
                "INSERT INTO tombstones VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (*key, _now())
            )
            connection.execute(f"DELETE FROM documents WHERE {_ONE}", key)
            connection.execute(f"DELETE FROM pins WHERE {_ONE}", key)
            _drop_chunks(connection, owner, document_id)

    def is_tombstoned(self, owner: Owner, document_id: str) -> bool:
        """Whether this id has a tombstone."""
        with self._transaction("DEFERRED") as connection:
            return _exists(connection, "tombstones", owner, document_id)

    # The index

    def snapshot(self, owner: Owner) -> Snapshot | None:
        """All chunks of an owner, or None when the index already has them.

        It reads on a connection of its own: a large owner must not hold up everybody else.
        """
        key = (owner.tenant, owner.subject)
        with closing(self._connect()) as connection:
            connection.execute("BEGIN DEFERRED")
            state = connection.execute(
                f"SELECT revision, built_revision FROM indexes WHERE {_OWNED}", key
            ).fetchone()
            if state is None or state[0] == state[1]:
                return None
            rows = connection.execute(
                f"SELECT document_id, n, page, text, blocks FROM chunks WHERE {_OWNED}"
                " ORDER BY document_id, n",
                key,
            ).fetchall()
            filenames = connection.execute(
                f"SELECT document_id, filename FROM documents WHERE {_OWNED}", key
            ).fetchall()
            connection.execute("COMMIT")
        return Snapshot(state[0], tuple(from_row(*row) for row in rows), dict(filenames))

    def switch(self, owner: Owner, revision: int, generation: str | None) -> bool:
        """Point the owner's index to a generation built from ``revision``.

        False, with nothing changed, when a document came or went since: the generation may hold
        a deleted one, and is to be built again.
        """
        with self._transaction("IMMEDIATE") as connection:
            changed = connection.execute(
                "UPDATE indexes SET generation = ?, built_revision = revision"
                f" WHERE {_OWNED} AND revision = ?",
                (generation, owner.tenant, owner.subject, revision),
            )
            return changed.rowcount == 1

    def searchable(self, owner: Owner) -> Searchable:
        """The owner's current generation and the documents it may show, as of one moment."""
        key = (owner.tenant, owner.subject)
        with self._transaction("DEFERRED") as connection:
            pointer = connection.execute(
                f"SELECT generation FROM indexes WHERE {_OWNED}", key
            ).fetchone()
            rows = connection.execute(
                f"SELECT document_id, filename FROM documents WHERE {_OWNED}"
                " AND status = 'indexed'",
                key,
            ).fetchall()
        return Searchable(None if pointer is None else pointer[0], dict(rows))

    def corpus_revision(self, owner: Owner) -> str:
        """Changes with everything that a question of the owner may find; never what it was.

        The registry's own name is in it: of another one, or one begun anew, none is the same.
        """
        with self._transaction("DEFERRED") as connection:
            name, revision = connection.execute(
                "SELECT name, coalesce((SELECT revision FROM corpora"
                f" WHERE {_OWNED}), 0) FROM identity",
                (owner.tenant, owner.subject),
            ).fetchone()
        return f"{name}.{revision}"

    def stale_owners(self) -> list[Owner]:
        """Owners whose index lags behind their chunks, after a crash for instance."""
        with self._transaction("DEFERRED") as connection:
            rows = connection.execute(
                "SELECT tenant, owner FROM indexes WHERE revision <> built_revision"
            ).fetchall()
        return [Owner(*row) for row in rows]

    def is_over(self, owner: Owner, document_id: str) -> bool:
        """Whether nothing of this document may remain in storage: it was deleted or expired."""
        with self._transaction("DEFERRED") as connection:
            if _exists(connection, "tombstones", owner, document_id):
                return True
            return (
                connection.execute(
                    f"SELECT 1 FROM documents WHERE {_ONE} AND status = 'expired'",
                    (owner.tenant, owner.subject, document_id),
                ).fetchone()
                is not None
            )

    # Conversations

    def last_terms(self, owner: Owner, conversation_id: str) -> str | None:
        """The terms of the last question of a conversation, or None when there was none."""
        with self._transaction("DEFERRED") as connection:
            row = connection.execute(
                f"SELECT terms FROM questions WHERE {_OWNED} AND conversation_id = ?"
                " ORDER BY id DESC LIMIT 1",
                (owner.tenant, owner.subject, conversation_id),
            ).fetchone()
        return None if row is None else str(row[0])

    def remember(self, owner: Owner, conversation_id: str, terms: str) -> None:
        """Keep a question's terms: the last few of a conversation, the last few conversations."""
        key = (owner.tenant, owner.subject)
        with self._transaction("IMMEDIATE") as connection:
            connection.execute(
                "INSERT INTO questions (tenant, owner, conversation_id, terms) VALUES (?, ?, ?, ?)",
                (*key, conversation_id, terms),
            )
            connection.execute(
                f"DELETE FROM questions WHERE {_OWNED} AND conversation_id = ? AND id NOT IN"
                f" (SELECT id FROM questions WHERE {_OWNED} AND conversation_id = ?"
                " ORDER BY id DESC LIMIT ?)",
                (*key, conversation_id, *key, conversation_id, QUESTIONS_PER_CONVERSATION),
            )
            connection.execute(
                f"DELETE FROM questions WHERE {_OWNED} AND conversation_id NOT IN"
                f" (SELECT conversation_id FROM questions WHERE {_OWNED}"
                " GROUP BY conversation_id ORDER BY max(id) DESC LIMIT ?)",
                (*key, *key, CONVERSATIONS_PER_OWNER),
            )


def _record(row: Sequence[Any]) -> Record:
    return replace(Record(*row[:-1]), warnings=tuple(json.loads(row[-1] or "[]")))


def _now() -> str:
    return rfc3339(datetime.now(UTC))


def _exists(connection: sqlite3.Connection, table: str, owner: Owner, document_id: str) -> bool:
    row = connection.execute(
        f"SELECT 1 FROM {table} WHERE {_ONE}", (owner.tenant, owner.subject, document_id)
    ).fetchone()
    return row is not None


def _drop_chunks(connection: sqlite3.Connection, owner: Owner, document_id: str) -> None:
    dropped = connection.execute(
        f"DELETE FROM chunks WHERE {_ONE}", (owner.tenant, owner.subject, document_id)
    )
    if dropped.rowcount:
        _touch(connection, owner)


def _touch(connection: sqlite3.Connection, owner: Owner) -> None:
    connection.execute(
        "INSERT INTO indexes VALUES (?, ?, 1, 0, NULL)"
        " ON CONFLICT DO UPDATE SET revision = revision + 1",
        (owner.tenant, owner.subject),
    )
