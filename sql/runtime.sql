-- What the job executes at every run. {part} is the quoted table of one version's labels, {label} the partitioned table.

-- name: create_part
-- A bare table beside the partitioned one: nothing is visible, and nothing is indexed while it is filled. Its CHECK
-- lets ATTACH skip its scan; row by row it costs less than a scan when all are there.
CREATE TABLE {part} (
    LIKE {label} INCLUDING DEFAULTS,
    CONSTRAINT version_bound CHECK (version_id = {version_id})
);
ALTER TABLE {part} ALTER COLUMN version_id SET DEFAULT {version_id};
COMMENT ON TABLE {part} IS 'Labels of version {version_id}; becomes a partition when it is published.'

-- name: empty_part
-- The table is empty: this is what COPY ... FREEZE asks of the transaction that it is part of.
TRUNCATE {part}

-- name: key_part
-- The key after the load: faster than one index entry at a time, and it finds duplicate customers.
ALTER TABLE {part} ADD PRIMARY KEY (version_id, {keys})

-- name: copy_sample
COPY {sample} (
    segmentation, version_id, ordinal, key_hash, segment_id, source_values, scaled_values, silhouette
) FROM STDIN

-- name: brief_statistics
-- Most columns of a label table hold few different values: 9,000 rows tell the planner of them, in a third of the time
-- that the usual 30,000 take. Who asks for less than that gets it.
SELECT set_config('default_statistics_target', least(30, setting::integer)::text, false)
FROM pg_catalog.pg_settings
WHERE name = 'default_statistics_target'

-- name: analyze
ANALYZE {relation}

-- name: analyze_only
-- The statistics of the partitioned table itself; its partitions have theirs. Postgres 18 and later.
ANALYZE ONLY {relation}

-- name: attach_part
-- The partition is complete before anyone can see it; its CHECK has done its work then.
ALTER TABLE {label} ATTACH PARTITION {part} FOR VALUES IN ({version_id});
ALTER TABLE {part} DROP CONSTRAINT IF EXISTS version_bound

-- name: drop_part
DROP TABLE IF EXISTS {part}

-- name: lock_timeout
-- What waits for a lock makes new readers wait behind it: give up early and come again.
SET LOCAL lock_timeout = '500ms'

-- name: orphan_lock_timeout
-- Nobody reads the table of an unfinished version; who still holds it is a session of the run that filled it.
SET LOCAL lock_timeout = '5s'

-- name: lock_holder
-- Who has the strongest lock on the tables of a segmentation, for a message; who only reads comes last, and a
-- partition after its table.
SELECT
    l.pid,
    a.application_name AS application,
    c.oid::regclass::text AS relation,
    to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE
    l.locktype = 'relation'
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
    AND l.granted
    AND l.pid <> pg_catalog.pg_backend_pid()
    AND n.nspname = :schema
    AND (
        c.relname IN (:labels, :moves)
        OR pg_catalog.starts_with(c.relname::text, :parts)
        OR pg_catalog.starts_with(c.relname::text, :pieces)
    )
ORDER BY
    array_position(
        ARRAY[
            'AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock', 'ShareUpdateExclusiveLock',
            'RowExclusiveLock', 'RowShareLock'
        ],
        l.mode
    ),
    c.relkind = 'r',
    a.xact_start
LIMIT 1

-- name: is_attached
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_inherits
    WHERE inhparent = pg_catalog.to_regclass(:label) AND inhrelid = pg_catalog.to_regclass(:part)
)

-- name: part_state
-- Whether the table of a version is there, and whether a detach of it stands still on its way: its rows have vanished
-- from the label table then, and it can not be attached.
SELECT
    pg_catalog.to_regclass(:part) IS NOT NULL AS present,
    EXISTS (
        SELECT FROM pg_catalog.pg_inherits
        WHERE inhrelid = pg_catalog.to_regclass(:part) AND inhdetachpending
    ) AS half_detached

-- name: loose_parts
-- Tables of one segmentation's versions that are not attached.
SELECT c.relname
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE
    n.nspname = :schema
    AND c.relkind = 'r'
    AND NOT c.relispartition
    AND pg_catalog.starts_with(c.relname::text, :prefix)

-- name: attached_parts
-- The partitions of the label table with their versions; a detach that was interrupted is pending and comes first.
SELECT c.relname, substr(c.relname, length(:prefix) + 1)::integer AS version_id, i.inhdetachpending
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = pg_catalog.to_regclass(:label)
ORDER BY i.inhdetachpending DESC, version_id

-- name: detach_part
-- Readers go on: it waits for those who may still see the partition, and takes no lock that stops new ones.
ALTER TABLE {label} DETACH PARTITION {part} CONCURRENTLY

-- name: finish_detach
-- What is left of an interrupted one.
ALTER TABLE {label} DETACH PARTITION {part} FINALIZE

-- name: session_lock_timeout
SET lock_timeout = '500ms'

-- name: move_pointer
-- Compare and swap: only while the parent is still published, and only by a later run than the one that published it.
-- Time goes on even if the server's clock was set back: history has an order, and `score` publishes without the pointer.
INSERT INTO {private}.published AS p (segmentation, version_id, publication, published_at, run_id)
SELECT :segmentation, CAST(:version_id AS integer), 1, clock_timestamp(), CAST(:run_id AS bigint)
WHERE
    CAST(:parent_version_id AS integer) IS NULL
    OR EXISTS (SELECT FROM {private}.published WHERE segmentation = :segmentation)
ON CONFLICT (segmentation) DO UPDATE
SET
    version_id = excluded.version_id,
    publication = p.publication + 1,
    published_at = greatest(
        excluded.published_at,
        (
            SELECT g.published_at FROM {private}.publication AS g
            WHERE g.segmentation = p.segmentation AND g.publication = p.publication
        ) + INTERVAL '1 microsecond'
    ),
    run_id = excluded.run_id
WHERE p.version_id = CAST(:parent_version_id AS integer) AND p.run_id < excluded.run_id
RETURNING publication, published_at

-- name: notify
SELECT pg_catalog.pg_notify('segjob', :payload)

-- name: held_objects
-- Everything in a schema that somebody may have put there.
SELECT c.relname
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :schema
UNION ALL
SELECT p.proname
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = :schema
LIMIT 1

-- name: view_comment
SELECT pg_catalog.obj_description(pg_catalog.to_regclass(:relation), 'pg_class')

-- name: owner_of_view
-- To whom it belongs, and whether this role may do all that its owner may.
SELECT c.relowner::pg_catalog.regrole::text AS owner, pg_catalog.pg_has_role(c.relowner, 'USAGE') AS is_ours
FROM pg_catalog.pg_class AS c
WHERE c.oid = pg_catalog.to_regclass(:relation)

-- name: has_relation
SELECT pg_catalog.to_regclass(:relation) IS NOT NULL

-- name: relation_oid
SELECT pg_catalog.to_regclass(:relation)::oid::bigint

-- name: dependent_objects
-- Views and functions of others over ours, which a DROP would have to take along.
WITH ours AS (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass AS catalogue, pg_catalog.to_regclass(r)::oid AS object
    FROM unnest(CAST(:relations AS text[])) AS r
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, pg_catalog.to_regprocedure(f)::oid
    FROM unnest(CAST(:functions AS text[])) AS f
)
SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, coalesce(v.relname, f.proname)) AS dependent
FROM pg_catalog.pg_depend AS d
JOIN ours ON ours.catalogue = d.refclassid AND ours.object = d.refobjid
LEFT JOIN pg_catalog.pg_rewrite AS w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
LEFT JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class
LEFT JOIN pg_catalog.pg_proc AS f ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND f.oid = d.objid
JOIN pg_catalog.pg_namespace AS n ON n.oid = coalesce(v.relnamespace, f.pronamespace)
WHERE NOT EXISTS (SELECT FROM ours AS own WHERE own.object = coalesce(v.oid, f.oid))

-- name: server_time
SELECT clock_timestamp()

-- name: privileges
-- What the role of the job may do, asked without trying it: the tables whose partitions it attaches have to be its own.
SELECT
    pg_catalog.has_schema_privilege(:private, 'CREATE') AS may_create,
    c.oid::pg_catalog.regclass::text AS relation,
    pg_catalog.pg_get_userbyid(c.relowner) AS owner,
    pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned
FROM pg_catalog.pg_class AS c
WHERE c.oid IN (pg_catalog.to_regclass(:label), pg_catalog.to_regclass(:membership))
ORDER BY c.relname

-- name: export_labels
-- The customers of one version with their segments; a uuid as text, which every reader of files understands.
SELECT
    {exported_keys},
    l.segment_id,
    s.segment_name,
    l.distance,
    l.simplified_silhouette,
    l.runner_up_segment_id,
    {version_id} AS version_id
FROM {part} AS l
JOIN {private}.segment AS s
    ON s.segmentation = {name} AND s.version_id = {version_id} AND s.segment_id = l.segment_id
ORDER BY {keys}

-- name: segment_ids
-- Who is in which segment, to be compared with other labels.
SELECT segment_id, {keys}
FROM {part}
WHERE segment_id IS NOT NULL
