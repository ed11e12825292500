-- Version 2: the rows that belong to no single run, and the archive. `line` is the CRC-32 of what the archive's list shows of a run.

CREATE TABLE items (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    sum INTEGER NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE archive (
    number INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    namespace TEXT NOT NULL,
    phase TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    labels TEXT NOT NULL,
    archived_at REAL NOT NULL,
    line INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT;

CREATE INDEX archive_by_name ON archive (namespace, name);
