-- What becomes of single customers who are to be forgotten. {table} is a quoted table with a row for each customer:
-- the labels of one version, or a piece of the history; {wanted} the keys as a set called k, with the columns key_0, key_1 …

-- name: tables_of_customers
-- Attached or not.
SELECT c.relname, c.relispartition
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE
    n.nspname = :schema
    AND c.relkind = 'r'
    AND (pg_catalog.starts_with(c.relname::text, :labels) OR pg_catalog.starts_with(c.relname::text, :pieces))
ORDER BY c.relname

-- name: erase_customers
-- Besides the segment, on which page each lay and how large it was, for what is left there.
DELETE FROM {table} AS t
USING {wanted}
WHERE {is_wanted}
RETURNING t.segment_id, (t.ctid::text::point)[0]::bigint AS page, pg_catalog.pg_column_size(t.*) AS size

-- name: count_customers
SELECT count(*) FROM {table} AS t JOIN {wanted} ON {is_wanted}

-- name: current_transaction
SELECT pg_catalog.pg_current_xact_id()::xid::text

-- name: older_snapshots
-- How many may still see what the transaction deleted, so that VACUUM would leave it where it is.
SELECT count(*)
FROM (
    SELECT unnest(ARRAY[a.backend_xmin, a.backend_xid]) AS held
    FROM pg_catalog.pg_stat_activity AS a
    WHERE
        a.pid <> pg_catalog.pg_backend_pid()
        AND a.backend_type <> 'autovacuum worker'
        AND (a.datname = current_database() OR a.datname IS NULL)
    UNION ALL
    SELECT p.transaction FROM pg_catalog.pg_prepared_xacts AS p WHERE p.database = current_database()
    UNION ALL
    SELECT s.xmin FROM pg_catalog.pg_replication_slots AS s
) AS others
WHERE held IS NOT NULL AND age(held) >= age(CAST(:transaction AS xid))

-- name: vacuum
-- Index entries as well, also when they are few; no page is left out because somebody looks at it just now.
VACUUM (INDEX_CLEANUP ON, DISABLE_PAGE_SKIPPING) {table}

-- name: overwrite_gap
-- VACUUM moves the rows of a page together and leaves the bytes of the last one where they were. A row of the same page
-- and size that is written again, with nothing changed, lands on just that place.
UPDATE {table}
SET {column} = {column}
WHERE ctid = ANY (
    ARRAY(
        SELECT t.ctid FROM {table} AS t
        WHERE
            t.ctid >= CAST('(' || CAST(:page AS text) || ',0)' AS tid)
            AND t.ctid < CAST('(' || CAST(:next_page AS text) || ',0)' AS tid)
            AND pg_catalog.pg_column_size(t.*) <= :size
        ORDER BY pg_catalog.pg_column_size(t.*) DESC, t.ctid
        LIMIT :n_rows
    )
)

-- name: reindex
-- A B-tree goes on using a deleted key to tell its pages apart, until it is made anew. Nobody's reading or writing
-- waits for that.
REINDEX TABLE CONCURRENTLY {table}

-- name: unfinished_indexes
-- What a REINDEX CONCURRENTLY left that was broken off.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.indrelid = pg_catalog.to_regclass(:table) AND NOT i.indisvalid

-- name: drop_index
DROP INDEX CONCURRENTLY IF EXISTS {index}

-- name: rewrite
-- Nobody but the job reads this table.
VACUUM (FULL) {table}

-- name: vacuum_statistics
-- The values that were there before; who does not own the database is told so, and it is not done.
VACUUM pg_catalog.pg_statistic

-- name: is_empty
SELECT NOT EXISTS (SELECT FROM {table})

-- name: insert_placeholder
-- ANALYZE keeps what it knows about a table that has become empty: it has to see one row, of nobody.
INSERT INTO {table} ({columns}) VALUES ({values})

-- name: delete_placeholder
DELETE FROM {table}

-- name: statistics_with_values
-- Statistics of a key column that still hold one of the values.
SELECT count(*)
FROM pg_catalog.pg_stats AS s
WHERE
    s.schemaname = :schema
    AND s.tablename = ANY (:tables)
    AND s.attname = :column
    AND (s.most_common_vals::text::text[] && :keys OR s.histogram_bounds::text::text[] && :keys)
