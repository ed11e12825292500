-- Every statement the journal runs, by name.

-- name: put_meta
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: meta
SELECT value FROM meta WHERE key = ?;

-- name: put_workflow
INSERT INTO workflows (run, uid, sum, row) VALUES (?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET sum = excluded.sum, row = excluded.row;

-- name: put_definitions
INSERT INTO definitions (run, sum, row) VALUES (?, ?, ?)
ON CONFLICT (run) DO UPDATE SET sum = excluded.sum, row = excluded.row;

-- name: put_node
-- A node that is there keeps its number, and so its place in the order of creation.
INSERT INTO nodes (number, run, id, sum, row) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run, id) DO UPDATE SET sum = excluded.sum, row = excluded.row;

-- name: put_event
INSERT INTO events (number, sum, event, summary) VALUES (?, ?, ?, ?);

-- name: remove_node
DELETE FROM nodes WHERE run = ? AND id = ?;

-- name: remove_workflow
DELETE FROM workflows WHERE run = ?;

-- name: remove_definitions
DELETE FROM definitions WHERE run = ?;

-- name: remove_nodes
DELETE FROM nodes WHERE number BETWEEN ? AND ?;

-- name: remove_events
DELETE FROM events WHERE number BETWEEN ? AND ?;

-- name: runs
SELECT uid, run FROM workflows;

-- name: workflows
SELECT run, sum, row FROM workflows ORDER BY run;

-- name: definitions
SELECT run, sum, row FROM definitions ORDER BY run;

-- name: nodes
SELECT number, sum, row FROM nodes ORDER BY number;

-- name: definitions_of
SELECT sum, row FROM definitions WHERE run = ?;

-- name: events_of
SELECT number, sum, event, summary FROM events WHERE number > ? AND number <= ? ORDER BY number LIMIT ?;

-- name: last
SELECT (SELECT max(number) FROM nodes WHERE number BETWEEN ? AND ?), (SELECT max(number) FROM events WHERE number BETWEEN ? AND ?);

-- name: put_item
INSERT INTO items (kind, key, sum, row) VALUES (?, ?, ?, ?)
ON CONFLICT (kind, key) DO UPDATE SET sum = excluded.sum, row = excluded.row;

-- name: remove_item
DELETE FROM items WHERE kind = ? AND key = ?;

-- name: items
SELECT kind, key, sum, row FROM items ORDER BY kind, key;

-- name: put_archive
INSERT INTO archive (uid, name, namespace, phase, created_at, started_at, finished_at, labels, archived_at, line, sum, row)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (uid) DO UPDATE SET phase = excluded.phase, started_at = excluded.started_at, finished_at = excluded.finished_at,
labels = excluded.labels, archived_at = excluded.archived_at, line = excluded.line, sum = excluded.sum, row = excluded.row;

-- name: archived
SELECT line, archived_at, labels, uid, name, namespace, phase, created_at, started_at, finished_at FROM archive ORDER BY number DESC;

-- name: archived_one
SELECT sum, row FROM archive WHERE uid = ?;

-- name: remove_archived
DELETE FROM archive WHERE uid = ?;

-- name: prune_archive
DELETE FROM archive WHERE archived_at < ?;

-- name: put_remains
INSERT INTO remains (uid, size, sum, row) VALUES (?, ?, ?, ?)
ON CONFLICT (uid) DO UPDATE SET size = excluded.size, sum = excluded.sum, row = excluded.row;

-- name: remains_of
SELECT sum, row FROM remains WHERE uid = ?;

-- name: remains_size
SELECT coalesce(sum(size), 0) FROM remains;

-- name: remove_remains
DELETE FROM remains WHERE uid = ?;

-- name: prune_remains
-- The newest are kept, as many as there is room for.
DELETE FROM remains WHERE number <= (
    SELECT max(number) FROM (SELECT number, sum(size) OVER (ORDER BY number DESC) AS total FROM remains) WHERE total > ?
);

-- name: remove_lone_remains
DELETE FROM remains WHERE uid NOT IN (SELECT uid FROM archive);

-- name: put_text
INSERT INTO texts (run, digest, text) VALUES (?, ?, ?) ON CONFLICT (run, digest) DO NOTHING;

-- name: text
SELECT text FROM texts WHERE run = ? AND digest = ?;

-- name: has_texts
SELECT EXISTS (SELECT 1 FROM texts WHERE run = ?);

-- name: remove_texts
DELETE FROM texts WHERE run = ?;
