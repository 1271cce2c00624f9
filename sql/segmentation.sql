-- The objects of one segmentation, made by `segjob migrate`.
-- {name} is the segmentation as a literal; {view}, {label} … are quoted, schema-qualified identifiers;
-- {keys} the quoted key columns, {l_keys} the same of l, {key_definitions} with their types.

-- name: create_label_table
-- Labels of every version, one partition a version. A customer without a segment has the feature that left it
-- out instead; carried_segment_id is what the parent's model says of the same customer on the same day.
CREATE TABLE {label} (
    {key_definitions},
    distance double precision,
    version_id integer NOT NULL,
    segment_id integer,
    runner_up_segment_id integer,
    simplified_silhouette real,
    carried_segment_id integer,
    excluded_by text,
    PRIMARY KEY (version_id, {keys})
) PARTITION BY LIST (version_id)

-- name: create_labels_view
-- What analysts join. The scalar subquery on the pointer lets Postgres skip every other version when the query starts.
CREATE VIEW {view} AS
SELECT
    {l_keys},
    l.segment_id,
    s.segment_name,
    l.distance,
    l.simplified_silhouette,
    l.runner_up_segment_id,
    l.version_id,
    (SELECT p.published_at FROM {private}.published AS p WHERE p.segmentation = {name}) AS published_at
FROM {label} AS l
LEFT JOIN {private}.segment AS s
    ON s.segmentation = {name} AND s.version_id = l.version_id AND s.segment_id = l.segment_id
WHERE
    l.version_id = (SELECT p.version_id FROM {private}.published AS p WHERE p.segmentation = {name})
    AND l.segment_id IS NOT NULL

-- name: create_profile_view
-- One row a segment of the published version.
CREATE VIEW {view_profile} AS
SELECT
    s.segment_id,
    s.segment_name,
    s.color,
    s.n_customers,
    s.share,
    s.n_customers_now,
    s.silhouette,
    s.silhouette_low,
    s.silhouette_high,
    s.silhouette_method,
    s.rule,
    s.rule_precision,
    s.rule_recall,
    s.origin,
    s.from_segment_ids
FROM {private}.segment AS s
JOIN {private}.published AS p ON p.segmentation = s.segmentation AND p.version_id = s.version_id
WHERE s.segmentation = {name}

-- name: create_centroid_view
-- One row a segment and clustered feature of the published version, in source units and in the clustered space. The
-- days that are dates are those of Postgres, from 4713 BC to 5874897.
CREATE VIEW {view_centroid} AS
SELECT
    c.segment_id,
    c.feature,
    c.value,
    CASE
        WHEN f.family IN ('date', 'timestamp') AND c.value BETWEEN -2440588 AND 2145031948
            THEN DATE '1970-01-01' + floor(c.value)::integer
    END AS value_date,
    c.scaled_value,
    c.segment_mean,
    c.segment_median,
    f.population_mean,
    f.population_std,
    c.difference
FROM {private}.centroid AS c
JOIN {private}.published AS p ON p.segmentation = c.segmentation AND p.version_id = c.version_id
JOIN {private}.feature_profile AS f
    ON f.segmentation = c.segmentation AND f.version_id = c.version_id AND f.feature = c.feature
WHERE c.segmentation = {name}

-- name: create_segment_view
-- Every id that ever was published, with the name and colour that it has, or had last, and how it came to be. A version
-- that never was published is not looked at.
CREATE VIEW {view_segment} AS
SELECT
    i.segment_id,
    latest.segment_name,
    latest.color,
    CASE WHEN i.active THEN 'active' ELSE 'retired' END AS status,
    i.first_version_id,
    i.last_version_id,
    earliest.origin,
    earliest.from_segment_ids
FROM (
    SELECT
        s.segment_id,
        p.version_id AS published_version_id,
        bool_or(s.version_id = p.version_id) AS active,
        min(s.version_id) AS first_version_id,
        max(s.version_id) AS last_version_id
    FROM {private}.segment AS s
    JOIN {private}.version AS v ON v.segmentation = s.segmentation AND v.version_id = s.version_id
    JOIN {private}.published AS p ON p.segmentation = s.segmentation
    WHERE s.segmentation = {name} AND v.published_at IS NOT NULL
    GROUP BY s.segment_id, p.version_id
) AS i
JOIN {private}.segment AS latest
    ON latest.segmentation = {name}
    AND latest.segment_id = i.segment_id
    AND latest.version_id = CASE WHEN i.active THEN i.published_version_id ELSE i.last_version_id END
JOIN {private}.segment AS earliest
    ON earliest.segmentation = {name}
    AND earliest.segment_id = i.segment_id
    AND earliest.version_id = i.first_version_id

-- name: create_unlabelled_view
-- Customers of the published version's snapshot that could not be labelled.
CREATE VIEW {view_unlabelled} AS
SELECT
    {l_keys},
    'missing value'::text AS reason,
    l.excluded_by AS feature
FROM {label} AS l
WHERE
    l.version_id = (SELECT p.version_id FROM {private}.published AS p WHERE p.segmentation = {name})
    AND l.segment_id IS NULL

-- name: drop_views
DROP VIEW IF EXISTS {view}, {view_profile}, {view_centroid}, {view_segment}, {view_unlabelled}

-- name: drop_label_table
DROP TABLE IF EXISTS {label}

-- name: label_table_comments
COMMENT ON TABLE {label} IS 'Labels of the segmentation {plain_name}, one partition a version.'

-- name: view_comments
-- Every object and column tells what it is; the key columns' comments are added by the caller.
COMMENT ON VIEW {view} IS 'segjob: the published segment of every customer of {plain_name}.';
COMMENT ON COLUMN {view}.segment_id IS 'The segment; see {plain_name}_profile.';
COMMENT ON COLUMN {view}.segment_name IS 'The name of the segment in the published version.';
COMMENT ON COLUMN {view}.distance IS 'Distance to the own centroid, in the clustered space (after scale and weight).';
COMMENT ON COLUMN {view}.simplified_silhouette IS '1 - own distance / next distance, 0 when both are 0; NULL with one segment.';
COMMENT ON COLUMN {view}.runner_up_segment_id IS 'The segment with the next nearest centroid; NULL with one segment.';
COMMENT ON COLUMN {view}.version_id IS 'The published version.';
COMMENT ON COLUMN {view}.published_at IS 'Since when it is published.';
COMMENT ON VIEW {view_profile} IS 'segjob: the segments of the published version of {plain_name}.';
COMMENT ON COLUMN {view_profile}.segment_id IS 'The segment.';
COMMENT ON COLUMN {view_profile}.segment_name IS 'Its name.';
COMMENT ON COLUMN {view_profile}.color IS 'Its colour in reports, as #rrggbb.';
COMMENT ON COLUMN {view_profile}.n_customers IS 'Its customers, as fitted.';
COMMENT ON COLUMN {view_profile}.share IS 'Its share of the labelled customers, 0 to 1, as fitted.';
COMMENT ON COLUMN {view_profile}.n_customers_now IS 'Its customers now.';
COMMENT ON COLUMN {view_profile}.silhouette IS 'Its mean silhouette, -1 to 1; NULL with one segment.';
COMMENT ON COLUMN {view_profile}.silhouette_low IS 'Lower end of the 95 % interval; the value itself when exact; NULL when no interval was computed.';
COMMENT ON COLUMN {view_profile}.silhouette_high IS 'Upper end of the 95 % interval; the value itself when exact; NULL when no interval was computed.';
COMMENT ON COLUMN {view_profile}.silhouette_method IS 'Which silhouette it is; never compare across methods.';
COMMENT ON COLUMN {view_profile}.rule IS 'A SQL predicate over source columns, never NULL, that tells the segment''s customers from the others.';
COMMENT ON COLUMN {view_profile}.rule_precision IS 'Share of the rule''s customers that are in the segment, among all that were labelled.';
COMMENT ON COLUMN {view_profile}.rule_recall IS 'Share of the segment''s customers that the rule finds.';
COMMENT ON COLUMN {view_profile}.origin IS 'How it continues the version before: kept, split, merged or new.';
COMMENT ON COLUMN {view_profile}.from_segment_ids IS 'The segments of the version before that it came from; empty when new.';
COMMENT ON VIEW {view_segment} IS 'segjob: every segment id that ever was published in {plain_name}.';
COMMENT ON COLUMN {view_segment}.segment_id IS 'The segment; an id is never given to another one.';
COMMENT ON COLUMN {view_segment}.segment_name IS 'Its name; the last one it had, if it is retired.';
COMMENT ON COLUMN {view_segment}.color IS 'Its colour in reports, as #rrggbb.';
COMMENT ON COLUMN {view_segment}.status IS 'active when the published version has it, else retired.';
COMMENT ON COLUMN {view_segment}.first_version_id IS 'The first published version that had it.';
COMMENT ON COLUMN {view_segment}.last_version_id IS 'The last published version that had it.';
COMMENT ON COLUMN {view_segment}.origin IS 'How it came to be: new, split or merged.';
COMMENT ON COLUMN {view_segment}.from_segment_ids IS 'The segments that it was split or merged from; empty when new.';
COMMENT ON VIEW {view_centroid} IS 'segjob: the centroids of the published version of {plain_name}.';
COMMENT ON COLUMN {view_centroid}.segment_id IS 'The segment.';
COMMENT ON COLUMN {view_centroid}.feature IS 'The feature; one-hot ones are called column=category.';
COMMENT ON COLUMN {view_centroid}.value IS 'The centroid in source units: the inverse of scale and transform, not the members'' mean. Dates are days since 1970-01-01.';
COMMENT ON COLUMN {view_centroid}.value_date IS 'The same as a date, for dates and timestamps.';
COMMENT ON COLUMN {view_centroid}.scaled_value IS 'The centroid in the clustered space.';
COMMENT ON COLUMN {view_centroid}.segment_mean IS 'Mean of the members that have a value, in source units.';
COMMENT ON COLUMN {view_centroid}.segment_median IS 'Median of the members that have a value, in source units; from a sample when there are many.';
COMMENT ON COLUMN {view_centroid}.population_mean IS 'Mean of all labelled customers that have a value.';
COMMENT ON COLUMN {view_centroid}.population_std IS 'Standard deviation of all labelled customers that have a value.';
COMMENT ON COLUMN {view_centroid}.difference IS 'How far the members'' mean lies from that of all, in standard deviations of all, after impute, clip and transform.';
COMMENT ON VIEW {view_unlabelled} IS 'segjob: customers of {plain_name} that could not be labelled, and why.';
COMMENT ON COLUMN {view_unlabelled}.reason IS 'Why there is no label.';
COMMENT ON COLUMN {view_unlabelled}.feature IS 'The feature it is about.'

-- name: record_segmentation
-- What the objects were made for; `run` refuses to work when the source has other names or types.
INSERT INTO {private}.segmentation (segmentation, key_columns, feature_columns)
VALUES ({name}, {key_columns}, {feature_columns})
ON CONFLICT (segmentation) DO UPDATE
SET
    key_columns = excluded.key_columns,
    feature_columns = excluded.feature_columns,
    migrated_at = now()

-- name: comment_on_key
COMMENT ON COLUMN {relation}.{column} IS 'Key column of the source.'

-- name: grant_to_analyst
-- Analysts see the views and nothing else.
GRANT USAGE ON SCHEMA {public} TO {role};
GRANT SELECT ON {public}.segmentation, {public}.version, {public}.run, {public}.publication, {public}.gate,
    {public}.transition, {public}.k_candidate TO {role}

-- name: grant_views_to_analyst
GRANT SELECT ON {view}, {view_profile}, {view_centroid}, {view_segment}, {view_unlabelled} TO {role}

-- name: grant_to_job
-- The job keeps its books in the private schema, and makes its label partitions there.
GRANT USAGE, CREATE ON SCHEMA {private} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {private} TO {role};
REVOKE INSERT, UPDATE, DELETE ON {private}.alembic_version FROM {role};
GRANT USAGE ON SCHEMA {public} TO {role};
GRANT SELECT ON {public}.segmentation, {public}.version, {public}.run, {public}.publication, {public}.gate,
    {public}.transition, {public}.k_candidate TO {role}

-- name: own_sample_row
-- The job analyses what it fills, which takes ownership.
ALTER TABLE {private}.sample_row OWNER TO {role};
GRANT SELECT ON {private}.sample_row TO {owner}

-- name: own_label_table
-- ATTACH takes ownership; the views read it in the name of the one who made them.
ALTER TABLE {label} OWNER TO {role};
GRANT SELECT ON {label} TO {owner}
