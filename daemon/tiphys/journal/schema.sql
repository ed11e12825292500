-- The journal's tables, version 1. A version that was released is never edited: a change is a new script beside this one.
--
-- `run` numbers the workflows. A row's number is `run << 32 | n`, n counting within the run: so a run's rows lie together, in the
-- order they came, and neither loading nor deleting a run has to look at the others.
-- `row`, `event` and `summary` are MessagePack; `sum` is their CRC-32.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workflows (
    run INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    sum INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT;

CREATE TABLE definitions (
    run INTEGER PRIMARY KEY,
    sum INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT;

CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    id TEXT NOT NULL,
    sum INTEGER NOT NULL,
    row BLOB NOT NULL,
    UNIQUE (run, id)
) STRICT;

CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    sum INTEGER NOT NULL,
    event BLOB NOT NULL,
    summary BLOB NOT NULL
) STRICT;
