"""The tables of the registry, and how one of an earlier version is brought up to date."""

from __future__ import annotations

import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
  tenant TEXT, owner TEXT, document_id TEXT, filename TEXT NOT NULL, content_type TEXT NOT NULL,
  size INTEGER NOT NULL, sha256 TEXT, status TEXT NOT NULL, error TEXT,
  created_at TEXT NOT NULL, updated_at TEXT NOT NULL, chunks INTEGER NOT NULL, warnings TEXT,
  PRIMARY KEY (tenant, owner, document_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tombstones (
  tenant TEXT, owner TEXT, document_id TEXT, deleted_at TEXT NOT NULL,
  PRIMARY KEY (tenant, owner, document_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pins (
  tenant TEXT, owner TEXT, document_id TEXT, version_id TEXT NOT NULL,
  PRIMARY KEY (tenant, owner, document_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
  tenant TEXT, owner TEXT, document_id TEXT, n INTEGER, page INTEGER, text TEXT NOT NULL,
  blocks TEXT,
  PRIMARY KEY (tenant, owner, document_id, n));
CREATE TABLE IF NOT EXISTS indexes (
  tenant TEXT, owner TEXT, revision INTEGER NOT NULL, built_revision INTEGER NOT NULL,
  generation TEXT, PRIMARY KEY (tenant, owner)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS questions (
  id INTEGER PRIMARY KEY, tenant TEXT, owner TEXT, conversation_id TEXT, terms TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS questions_by_owner ON questions (tenant, owner, conversation_id, id);
CREATE TABLE IF NOT EXISTS corpora (
  tenant TEXT, owner TEXT, revision INTEGER NOT NULL, PRIMARY KEY (tenant, owner)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS identity (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), name TEXT);
INSERT INTO identity VALUES (1, lower(hex(randomblob(8)))) ON CONFLICT DO NOTHING;
"""

# Whatever changes what a question may find, in whichever process and by whichever statement, counts
# the owner's revision up in the same transaction.
_CHANGES = {
    "documents": ("INSERT", "UPDATE", "DELETE"),
    "indexes": ("INSERT", "UPDATE OF generation", "DELETE"),
}
REVISIONS = "".join(
    f"CREATE TRIGGER IF NOT EXISTS {table}_{n} AFTER {change} ON {table} BEGIN"
    f" INSERT INTO corpora VALUES ({row}.tenant, {row}.owner, 1)"
    " ON CONFLICT DO UPDATE SET revision = revision + 1; END;\n"
    for table, changes in _CHANGES.items()
    for n, change in enumerate(changes)
    for row in ("OLD" if change == "DELETE" else "NEW",)
)

# What words are and how nodes look in an index. One of another form cannot be searched.
INDEX_FORM = 2


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date, within a transaction; both processes may try at once."""
    _add_column(connection, "chunks", "blocks", "TEXT")
    _add_column(connection, "documents", "warnings", "TEXT")
    _leave_older_indexes(connection)


def _add_column(connection: sqlite3.Connection, table: str, column: str, kind: str) -> None:
    columns = connection.execute(f"SELECT name FROM pragma_table_info('{table}')")
    if (column,) not in columns.fetchall():
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def _leave_older_indexes(connection: sqlite3.Connection) -> None:
    """Have indexes of an earlier form built again; until the sweep does, nothing is found."""
    (form,) = connection.execute("PRAGMA user_version").fetchone()
    if form < INDEX_FORM:
        connection.execute("UPDATE indexes SET revision = revision + 1, generation = NULL")
        connection.execute(f"PRAGMA user_version = {INDEX_FORM}")
