-- Labels between fits: what `score` does to the published version, and a fit to its own before it is published.
-- {target} is the table of one version's labels, {scored} what was read and labelled now, {changes} where they differ,
-- {touched} whom `score` labelled while a fit was at work. The last three are unlogged: a crash ends who needs them.

-- name: create_scored
DROP TABLE IF EXISTS {scored};
CREATE UNLOGGED TABLE {scored} (LIKE {label} INCLUDING DEFAULTS);
ALTER TABLE {scored} ALTER COLUMN version_id SET DEFAULT {version_id};
COMMENT ON TABLE {scored} IS 'What is labelled between two fits, until it is compared.'

-- name: drop_scored
DROP TABLE IF EXISTS {scored}, {changes}

-- name: all_labels
-- Everybody was read: who is not among them has left.
{target}

-- name: labels_of_touched
-- Only some were read: the others stay as they are.
(SELECT p.* FROM {target} AS p WHERE EXISTS (SELECT FROM {touched} AS k WHERE {k_is_p}))

-- name: labels_of_recent
-- Those that were read because they changed lately, and those whose key is gone.
(
    SELECT p.* FROM {target} AS p
    WHERE
        EXISTS (SELECT FROM {scored} AS s WHERE {s_is_p})
        OR NOT EXISTS (SELECT FROM {present} AS r WHERE {r_is_p})
)

-- name: count_unknown
-- New customers whose watermark is older than what was read.
SELECT count(*)
FROM {present} AS p
WHERE
    NOT EXISTS (SELECT FROM {target} AS l WHERE {l_is_p})
    AND NOT EXISTS (SELECT FROM {scored} AS s WHERE {s_is_p})

-- name: create_changes
-- Whoever came, left, or has another label than before, down to the last bit. What the parent's model says counts only
-- where it was asked again.
DROP TABLE IF EXISTS {changes};
CREATE UNLOGGED TABLE {changes} AS
SELECT
    {either_keys},
    b.segment_id,
    b.distance AS old_distance,
    b.version_id IS NOT NULL AS was_there,
    a.segment_id AS new_segment_id,
    a.distance,
    a.runner_up_segment_id,
    a.simplified_silhouette,
    a.excluded_by,
    a.carried_segment_id,
    a.version_id IS NOT NULL AS is_there
FROM {before} AS b
FULL JOIN {scored} AS a ON {same_key}
WHERE
    (b.version_id IS NULL) <> (a.version_id IS NULL)
    OR a.carried_segment_id <> b.carried_segment_id
    OR (b.segment_id, b.distance, b.runner_up_segment_id, b.simplified_silhouette, b.excluded_by)
    IS DISTINCT FROM (a.segment_id, a.distance, a.runner_up_segment_id, a.simplified_silhouette, a.excluded_by);
ANALYZE {changes}

-- name: count_changes
SELECT
    count(*) FILTER (WHERE NOT was_there) AS n_came,
    count(*) FILTER (WHERE was_there AND is_there) AS n_changed,
    count(*) FILTER (WHERE NOT is_there) AS n_left,
    count(*) FILTER (WHERE segment_id IS DISTINCT FROM new_segment_id) AS n_moved
FROM {changes} AS c

-- name: moves_of_changes
-- The same customers for the history: those whose segment is another.
SELECT {keys}, segment_id, new_segment_id, NULL::integer AS carried_segment_id FROM {changes} AS c

-- name: count_far
-- Of each segment, once the changes are made, how many customers it has, and how many of them are farther from its
-- centre than 99 of 100 were at the fit.
SELECT
    s.segment_id,
    sum(l.sign) AS n_customers,
    coalesce(sum(l.sign) FILTER (WHERE l.distance > s.distance_p99), 0) AS n_far
FROM (
    SELECT segment_id, distance, 1 AS sign FROM {target}
    UNION ALL
    SELECT segment_id, old_distance, -1 FROM {changes} AS c WHERE was_there
    UNION ALL
    SELECT new_segment_id, distance, 1 FROM {changes} AS c WHERE is_there
) AS l
JOIN {private}.segment AS s
    ON s.segmentation = {name} AND s.version_id = {version_id} AND s.segment_id = l.segment_id
GROUP BY s.segment_id

-- name: apply_changes
-- Everything at once, for nobody may see half of it. What the parent's model said of the customer as it was is no longer
-- true: it is replaced, or unknown.
DELETE FROM {target} AS l USING {changes} AS c WHERE {l_is_c} AND NOT c.is_there;
UPDATE {target} AS l
SET
    segment_id = c.new_segment_id,
    distance = c.distance,
    runner_up_segment_id = c.runner_up_segment_id,
    simplified_silhouette = c.simplified_silhouette,
    excluded_by = c.excluded_by,
    carried_segment_id = c.carried_segment_id
FROM {changes} AS c
WHERE {l_is_c} AND c.was_there AND c.is_there;
INSERT INTO {target} (
    {keys}, version_id, segment_id, distance, runner_up_segment_id, simplified_silhouette, excluded_by,
    carried_segment_id
)
SELECT
    {keys}, {version_id}, new_segment_id, distance, runner_up_segment_id, simplified_silhouette, excluded_by,
    carried_segment_id
FROM {changes}
WHERE NOT was_there

-- name: record_touched
-- A fit that is at work has read these customers before: it labels them itself before it publishes.
CREATE UNLOGGED TABLE IF NOT EXISTS {touched} AS SELECT {keys} FROM {label} WITH NO DATA;
INSERT INTO {touched} ({keys}) SELECT {keys} FROM {changes}

-- name: touched_keys
-- Of whom `score` touched, as text; at most so many.
SELECT {texts_of_keys} FROM {touched} LIMIT {most}

-- name: drop_untouched
-- More was read than had to be.
DELETE FROM {scored} AS s WHERE NOT EXISTS (SELECT FROM {touched} AS k WHERE {k_is_s})

-- name: drop_touched
DROP TABLE IF EXISTS {touched}

-- name: next_publication
-- The pointer stays where it is: another publication of the same version. Time goes on even if the server's clock was
-- set back: history has an order.
UPDATE {private}.published AS p
SET publication = p.publication + 1
FROM {private}.publication AS g
WHERE
    p.segmentation = :segmentation AND p.version_id = :version_id AND p.publication = :publication
    AND g.segmentation = p.segmentation AND g.publication = p.publication
RETURNING p.publication, greatest(clock_timestamp(), g.published_at + INTERVAL '1 microsecond') AS published_at

-- name: same_publication
-- The same comparison where nobody's segment changes; nobody moves the pointer until the transaction ends.
SELECT p.publication
FROM {private}.published AS p
WHERE p.segmentation = :segmentation AND p.version_id = :version_id AND p.publication = :publication
FOR SHARE

-- name: labelled_under
-- By which configuration the labels of a version were last brought up to date.
SELECT r.config_hash
FROM {private}.run AS r
WHERE
    r.segmentation = :segmentation AND r.version_id = :version_id
    AND r.kind IN ('run', 'score') AND r.status IN ('succeeded', 'rejected')
ORDER BY r.run_id DESC
LIMIT 1
