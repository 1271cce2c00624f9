-- What is asked of the server around reading: the source, the locks, the snapshot. Parameters are the driver's,
-- %(name)s; a per cent sign of SQL's own is doubled where there are parameters.

-- name: find_relation
-- The relation's full, quoted name and its kind, if there is one.
SELECT format('%%I.%%I', n.nspname, c.relname), c.relkind::text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass(%(name)s)

-- name: all_relations
-- Every relation that could be meant, for a hint.
SELECT c.relname, format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE
    c.relkind IN ('r', 'v', 'm', 'p', 'f')
    AND NOT c.relispartition
    AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema'
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
ORDER BY 1, 2

-- name: names_of_types
-- The declared and the base type of each column in words, and the kind of the base type.
SELECT format_type(declared, CASE WHEN declared = base THEN modifier END), format_type(base, NULL), t.typtype::text
FROM
    unnest(%(declared)s::oid[], %(base)s::oid[], %(modifiers)s::int[])
    WITH ORDINALITY AS f (declared, base, modifier, place)
JOIN pg_catalog.pg_type AS t ON t.oid = base
ORDER BY place

-- name: no_timeouts
-- Nothing may end a session that waits while others read. Settings that this server does not know are passed over.
SELECT set_config(name, '0', false)
FROM pg_catalog.pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')

-- name: locked_relations
-- What this session has locked, by its own account of locks, with the files that hold the rows.
SELECT c.oid::bigint, format('%%I.%%I', n.nspname, c.relname), pg_catalog.pg_relation_filenode(c.oid)::bigint
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE
    l.locktype = 'relation'
    AND l.pid = pg_catalog.pg_backend_pid()
    AND l.granted
    AND c.oid >= %(first_user_oid)s
    AND c.relkind IN ('r', 'm', 'p', 'f', 'v')
ORDER BY 1

-- name: locked_foreign_table
-- A foreign table that this session has locked, if there is one.
SELECT c.oid
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND c.relkind = 'f'
LIMIT 1

-- name: pages_underneath
-- How many pages each table underneath a relation has, unless one of them is no ordinary table, and a page's bytes. A
-- materialized view counts as one if it may.
WITH RECURSIVE tree AS (
    SELECT pg_catalog.to_regclass(%(relation)s)::oid AS oid
    UNION
    SELECT i.inhrelid
    FROM pg_catalog.pg_inherits AS i
    JOIN tree AS t ON i.inhparent = t.oid
)
SELECT
    array_agg(coalesce(pg_catalog.pg_relation_size(c.oid), 0) / b.bytes) FILTER (WHERE c.relkind IN ('r', 'm')),
    b.bytes
FROM tree AS t
CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::bigint AS bytes) AS b
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid
LEFT JOIN pg_catalog.pg_am AS a ON a.oid = c.relam
GROUP BY b.bytes
HAVING
    bool_and(c.relkind = 'p' OR (a.amname = 'heap' AND (c.relkind = 'r' OR (c.relkind = 'm' AND %(kept)s::boolean))))

-- name: export_snapshot
SELECT pg_catalog.pg_export_snapshot(), pg_catalog.transaction_timestamp()

-- name: replay
-- Whether this server is a standby, and of one that may be behind the time of the last change it has replayed and that
-- change's age in seconds. A standby whose receiver is at work and has nothing left to replay is not behind, however
-- long ago the last change was.
SELECT p.standby, p.at, coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - p.at), 0)::float8
FROM (
    SELECT
        pg_catalog.pg_is_in_recovery() AS standby,
        CASE
            WHEN
                pg_catalog.pg_last_wal_replay_lsn() >= pg_catalog.pg_last_wal_receive_lsn()
                AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver)
                THEN NULL
            WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_xact_replay_timestamp()
        END AS at
) AS p

-- name: standby_cancels_after
-- How long a read may be in the way of what a standby has to repeat; no row where it may be for ever, or where the
-- primary leaves alone what is read here.
SELECT pg_catalog.current_setting('max_standby_streaming_delay')
WHERE
    pg_catalog.current_setting('max_standby_streaming_delay') <> '-1'
    AND NOT pg_catalog.current_setting('hot_standby_feedback')::bool

-- name: try_lock
SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(%(lock)s, 0))

-- name: unlock
SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(%(lock)s, 0))

-- name: who_holds_lock
-- pg_locks shows the two halves of the number, and 1 for locks that were asked for by one number.
SELECT
    l.pid = pg_catalog.pg_backend_pid() AS ours,
    a.pid,
    a.application_name,
    to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since
FROM (SELECT pg_catalog.hashtextextended(%(lock)s, 0) AS number) AS n
JOIN pg_catalog.pg_locks AS l
    ON l.locktype = 'advisory'
    AND l.granted
    AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND l.classid::bigint = (n.number >> 32) & 4294967295
    AND l.objid::bigint = n.number & 4294967295
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
