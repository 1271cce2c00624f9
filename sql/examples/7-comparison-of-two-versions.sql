-- Who went where between the published version and its parent, and was it the customers or the model that moved?
SELECT
    t.from_segment_id,
    t.to_segment_id,
    d.segment_name AS to_segment_name,
    t.n_customers,
    t.n_features_moved,
    t.n_model_moved
FROM segments.segmentation AS s
JOIN segments.version AS v ON v.segmentation = s.segmentation AND v.version_id = s.version_id
JOIN segments.transition AS t
    ON t.segmentation = v.segmentation AND t.from_version_id = v.parent_version_id AND t.to_version_id = v.version_id
LEFT JOIN segments.shop_segment AS d ON d.segment_id = t.to_segment_id
WHERE s.segmentation = 'shop' AND t.from_segment_id IS DISTINCT FROM t.to_segment_id
ORDER BY t.n_customers DESC, t.from_segment_id, t.to_segment_id;
