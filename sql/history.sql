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

-- name: count_segments
SELECT segment_id, count(*) AS n_customers
FROM {part}
WHERE segment_id IS NOT NULL
GROUP BY segment_id

-- name: drop_moves
DROP TABLE IF EXISTS {moves}
