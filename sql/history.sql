-- Who moved: the labels of two versions compared, and the history that is kept of it. {before} and {after} are the
-- quoted tables of two versions' labels, {moves} that of the customers whose segment differs.

-- name: compare_labels
-- Everybody who has a segment in one version or the other; NULL is the side that does not have the customer.
SELECT
    {either_keys},
    b.segment_id,
    a.segment_id AS new_segment_id,
    a.carried_segment_id
FROM (SELECT {keys}, segment_id FROM {before} WHERE segment_id IS NOT NULL) AS b
FULL JOIN (SELECT {keys}, segment_id, carried_segment_id FROM {after} WHERE segment_id IS NOT NULL) AS a
    ON {same_key}

-- name: compare_settings
-- A merge over the two keys is twice as slow as hashing when the tables lie in another order, which the planner does
-- not know: ten times slower and more. Most rows meet their like and go no further, which it does not know either.
SET LOCAL enable_mergejoin = off;
SET LOCAL parallel_tuple_cost = 0

-- name: create_moves
-- CREATE TABLE AS, for what fills a table in any other way is not done by several processes.
CREATE {unlogged} TABLE {moves} AS
SELECT
    {keys},
    {publication} AS publication,
    c.segment_id,
    {publication} AS piece,
    c.new_segment_id,
    c.carried_segment_id
FROM ({compared}) AS c
WHERE c.segment_id IS DISTINCT FROM c.new_segment_id

-- name: count_transitions
-- How many went from where to where, and of these, for how many the old model says something else of the new values,
-- and for how many the two models disagree about them.
SELECT
    c.segment_id AS from_segment_id,
    c.new_segment_id AS to_segment_id,
    count(*) AS n_customers,
    count(*) FILTER (WHERE c.segment_id <> c.carried_segment_id) AS n_features_moved,
    count(*) FILTER (WHERE c.carried_segment_id <> c.new_segment_id) AS n_model_moved,
    count(c.carried_segment_id) AS n_carried
FROM {compared} AS c
GROUP BY c.segment_id, c.new_segment_id

-- name: drop_moves
DROP TABLE IF EXISTS {moves}

-- name: create_membership_table
-- One row for each customer and publication at which the segment changed, with the one until then, the one from then on
-- and what the old model says of the customer on that day; nothing is ever updated. The last two are what moves are
-- counted by; dropping them would gain nothing on disk, and rows without them could not overwrite those of somebody who
-- is forgotten. A piece is what was loaded in one go, named by the publication that opened it; a publication at which few
-- moved adds to the piece before, so that scoring every hour does not make thousands of pieces.
CREATE TABLE {membership} (
    {key_definitions},
    publication integer NOT NULL,
    segment_id integer,
    piece integer NOT NULL,
    new_segment_id integer,
    carried_segment_id integer
) PARTITION BY LIST (piece);
CREATE INDEX ON {membership} ({keys}, publication)

-- name: create_moves_view
-- What counts of it: no publication that is not complete, and nothing from before a gap, that is, a publication for
-- which no history was kept. The planner takes two bounds on one column, whose values it does not know, for a narrow
-- range, and goes through an index millions of times; so the second is one on an expression.
CREATE VIEW {view_moves} AS
SELECT
    {m_keys},
    m.publication,
    m.segment_id
FROM {membership} AS m
WHERE
    m.publication > (
        SELECT max(b.publication) FROM {private}.publication AS b
        WHERE b.segmentation = {name} AND b.begins_history
    )
    AND m.publication - 1 < (SELECT p.publication FROM {private}.published AS p WHERE p.segmentation = {name})

-- name: create_names_view
-- What each segment was called at each publication.
CREATE VIEW {view_names} AS
SELECT p.publication, p.published_at, s.segment_id, s.segment_name
FROM {private}.publication AS p
JOIN {private}.segment AS s ON s.segmentation = p.segmentation AND s.version_id = p.version_id
WHERE p.segmentation = {name}

-- name: create_history_view
-- An interval ends where a move says so, or is open, and begins where the customer's interval before ended.
CREATE VIEW {view_history} AS
SELECT
    {h_keys},
    h.segment_id,
    s.segment_name,
    f.published_at AS valid_from,
    coalesce(t.published_at, TIMESTAMPTZ '9999-12-31 00:00:00+00') AS valid_to
FROM (
    SELECT
        {r_keys},
        r.segment_id,
        r.publication,
        coalesce(
            lag(r.publication) OVER (PARTITION BY {r_keys} ORDER BY r.publication),
            (
                SELECT max(b.publication) FROM {private}.publication AS b
                WHERE b.segmentation = {name} AND b.begins_history
            )
        ) AS since
    FROM (
        SELECT {m_keys}, m.publication, m.segment_id FROM {view_moves} AS m
        UNION ALL
        SELECT
            {l_keys},
            (SELECT p.publication + 1 FROM {private}.published AS p WHERE p.segmentation = {name}),
            l.segment_id
        FROM {view} AS l
    ) AS r
) AS h
JOIN {private}.publication AS f ON f.segmentation = {name} AND f.publication = h.since
LEFT JOIN {private}.publication AS t ON t.segmentation = {name} AND t.publication = h.publication
LEFT JOIN {view_names} AS s ON s.publication = h.publication - 1 AND s.segment_id = h.segment_id
WHERE h.segment_id IS NOT NULL

-- name: create_as_of_function
-- What a customer's next move says was before, or the published label where no move followed. The planner takes it
-- apart, so that a condition on the key finds an index: it must not be SECURITY DEFINER, and sets no search_path.
CREATE FUNCTION {as_of}(timestamptz)
RETURNS TABLE ({key_columns}, segment_id integer, segment_name text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT {m_keys}, m.segment_id, s.segment_name
    FROM {view_moves} AS m
    LEFT JOIN {view_names} AS s ON s.publication = ({then}) AND s.segment_id = m.segment_id
    WHERE
        m.segment_id IS NOT NULL
        AND m.publication > ({then})
        AND NOT EXISTS (
            SELECT FROM {view_moves} AS e
            WHERE {e_is_m} AND e.publication > ({then}) AND e.publication < m.publication
        )
    UNION ALL
    SELECT {l_keys}, l.segment_id, s.segment_name
    FROM {view} AS l
    LEFT JOIN {view_names} AS s ON s.publication = ({then}) AND s.segment_id = l.segment_id
    WHERE
        ({then}) IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM {view_moves} AS e
            WHERE {e_is_l} AND e.publication > ({then})
        )
    ; END

-- name: publication_then
-- The publication that was in force at a moment, if history reaches back to it.
SELECT max(p.publication) FROM {public}.publication AS p
WHERE p.segmentation = {name} AND p.has_history AND p.published_at <= $1

-- name: history_comments
COMMENT ON TABLE {membership} IS 'Who changed segment at which publication of {plain_name}, and the segment until then.';
COMMENT ON VIEW {view_history} IS 'segjob: since when, and until when, a customer of {plain_name} was in a segment.';
COMMENT ON COLUMN {view_history}.segment_id IS 'The segment.';
COMMENT ON COLUMN {view_history}.segment_name IS 'Its name when the interval ended; the name now if it is open.';
COMMENT ON COLUMN {view_history}.valid_from IS 'Since when the customer was seen in it.';
COMMENT ON COLUMN {view_history}.valid_to IS 'Until when, this moment not included; 9999-12-31 (UTC) if it still is.';
COMMENT ON VIEW {view_moves} IS 'segjob: what {plain_name}_history and {plain_name}_as_of read: the customers whose segment changed.';
COMMENT ON COLUMN {view_moves}.publication IS 'The publication at which the segment changed.';
COMMENT ON COLUMN {view_moves}.segment_id IS 'The segment until then; NULL if the customer had none.';
COMMENT ON VIEW {view_names} IS 'segjob: what the segments of {plain_name} were called at each publication.';
COMMENT ON COLUMN {view_names}.publication IS 'The publication.';
COMMENT ON COLUMN {view_names}.published_at IS 'When it was.';
COMMENT ON COLUMN {view_names}.segment_id IS 'The segment.';
COMMENT ON COLUMN {view_names}.segment_name IS 'Its name.';
COMMENT ON FUNCTION {as_of}(timestamptz) IS 'segjob: the segment of every customer of {plain_name} as it was published at a moment.'

-- name: drop_history
DROP FUNCTION IF EXISTS {as_of}(timestamptz);
DROP VIEW IF EXISTS {view_history}, {view_moves}, {view_names}

-- name: drop_membership_table
-- With what a run left that died while it compared.
DROP TABLE IF EXISTS {membership}, {moves}

-- name: grant_history_to_analyst
GRANT SELECT ON {view_history}, {view_moves}, {view_names} TO {role};
GRANT EXECUTE ON FUNCTION {as_of}(timestamptz) TO {role}

-- name: own_membership_table
-- ATTACH takes ownership; the views read it in the name of the one who made them.
ALTER TABLE {membership} OWNER TO {role};
GRANT SELECT ON {membership} TO {owner}

-- name: last_piece
-- The piece that was opened last, and how many rows it has, as far as statistics know.
SELECT c.relname, substr(c.relname, length(:prefix) + 1)::integer AS piece, c.reltuples::bigint AS n_rows
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = pg_catalog.to_regclass(:membership)
ORDER BY piece DESC
LIMIT 1

-- name: become_piece
-- The bare table of moves takes the shape of a piece: all that ATTACH asks for, in one pass over it.
ALTER TABLE {moves}
    {keys_not_null},
    ALTER COLUMN publication SET NOT NULL,
    ALTER COLUMN piece SET NOT NULL,
    ADD CONSTRAINT piece_bound CHECK (piece = {publication});
CREATE INDEX ON {moves} ({keys}, publication);
COMMENT ON TABLE {moves} IS 'Who changed segment at publication {publication}, and at later ones at which few did.';
ANALYZE {moves}

-- name: attach_piece
-- Its index becomes a part of the index of the whole; the CHECK has done its work then.
ALTER TABLE {moves} RENAME TO {piece_name};
ALTER TABLE {membership} ATTACH PARTITION {piece} FOR VALUES IN ({publication});
ALTER TABLE {piece} DROP CONSTRAINT piece_bound

-- name: forget_unpublished
-- Rows of a publication that never came, left by a run that died before it.
DELETE FROM {piece} WHERE publication >= {publication}

-- name: add_to_piece
-- Few rows: an entry in the index for each costs less than another index.
INSERT INTO {piece} ({keys}, publication, segment_id, piece, new_segment_id, carried_segment_id)
SELECT {keys}, publication, segment_id, {number}, new_segment_id, carried_segment_id FROM {moves}
