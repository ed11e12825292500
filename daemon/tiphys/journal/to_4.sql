-- Version 4: the large texts of a run's rows and events, each stored once. `digest` is the SHA-256 of `text` (UTF-8); rows name it. What
-- was written before keeps its texts in itself.

CREATE TABLE texts (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    digest BLOB NOT NULL,
    text BLOB NOT NULL,
    UNIQUE (run, digest)
) STRICT;
