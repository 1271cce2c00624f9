-- What `segjob status`, `versions` and `show` read: the analysts' own views where they have it. Parameters are the
-- driver's, %(name)s.

-- name: list_versions
SELECT
    version_id, status, created_at, published_at, data_as_of, n_customers, n_unlabelled, n_segments, inertia,
    silhouette, silhouette_low, silhouette_high, silhouette_method, silhouette_n_sampled, seed, run_id,
    parent_version_id
FROM {public}.version
WHERE segmentation = %(segmentation)s
ORDER BY version_id DESC

-- name: published_version
SELECT
    v.version_id, s.data_as_of, v.n_customers, v.n_unlabelled, v.n_segments, v.inertia, v.silhouette,
    v.silhouette_low, v.silhouette_high, v.silhouette_method, v.silhouette_n_sampled, s.published_at
FROM {public}.segmentation AS s
JOIN {public}.version AS v ON v.segmentation = s.segmentation AND v.version_id = s.version_id
WHERE s.segmentation = %(segmentation)s

-- name: last_run
SELECT run_id, kind, status, started_at, finished_at, version_id, exit_code, error, warnings
FROM {public}.run
WHERE segmentation = %(segmentation)s
ORDER BY run_id DESC
LIMIT 1

-- name: freshness
SELECT last_success_at, fit_due
FROM {public}.segmentation
WHERE segmentation = %(segmentation)s

-- name: is_migrated
SELECT pg_catalog.to_regclass(%(relation)s) IS NOT NULL AS present

-- name: show_version
SELECT
    segmentation, version_id, parent_version_id, status, created_at, published_at, data_as_of, n_customers,
    n_unlabelled, n_segments, inertia, silhouette, silhouette_low, silhouette_high, silhouette_method,
    silhouette_n_sampled, silhouette_exact, squared_silhouette, squared_silhouette_low, squared_silhouette_high,
    squared_silhouette_method, squared_silhouette_n_sampled, squared_silhouette_exact, davies_bouldin,
    calinski_harabasz, seed, stages
FROM {private}.version
WHERE
    segmentation = %(segmentation)s
    AND version_id = coalesce(
        %(version_id)s::integer,
        (SELECT p.version_id FROM {private}.published AS p WHERE p.segmentation = %(segmentation)s)
    )

-- name: show_segments
-- The centroid of each segment as one object, its features in the order of the configuration; what sets it apart as
-- another, the farthest feature first.
SELECT
    s.segment_id, s.segment_name AS name, s.color, s.n_customers, s.share, s.inertia, s.silhouette,
    s.squared_silhouette, s.rule, s.rule_precision, s.rule_recall, s.origin, s.from_segment_ids,
    (
        SELECT json_object_agg(c.feature, c.value ORDER BY f.position)
        FROM {private}.centroid AS c
        JOIN {private}.feature_profile AS f USING (segmentation, version_id, feature)
        WHERE c.segmentation = s.segmentation AND c.version_id = s.version_id AND c.segment_id = s.segment_id
    ) AS centroid,
    (
        SELECT json_object_agg(c.feature, c.difference ORDER BY abs(c.difference) DESC NULLS LAST, f.position)
        FROM {private}.centroid AS c
        JOIN {private}.feature_profile AS f USING (segmentation, version_id, feature)
        WHERE c.segmentation = s.segmentation AND c.version_id = s.version_id AND c.segment_id = s.segment_id
    ) AS differences
FROM {private}.segment AS s
WHERE s.segmentation = %(segmentation)s AND s.version_id = %(version_id)s::integer
ORDER BY s.segment_id

-- name: show_gates
SELECT gate, value, warn, refuse, result
FROM {private}.gate
WHERE segmentation = %(segmentation)s AND version_id = %(version_id)s::integer
ORDER BY gate
