-- Version 3: the rows of archived runs, compressed, from which they can be retried. `size` is the length of `row` in bytes; `sum` is the
-- CRC-32 of `row` and `uid`. Each belongs to a row of the archive; the archive has older ones that left none.

CREATE TABLE remains (
    number INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT;
