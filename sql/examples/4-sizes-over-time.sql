-- How large was each segment in each version? Who moved is counted between every version and its parent; the sums over
-- it are the sizes. With the one version there is at first, nobody has moved and nothing is listed.
SELECT v.version_id, v.data_as_of, sizes.segment_id, d.segment_name, max(sizes.customers) AS customers
FROM (
    SELECT t.to_version_id AS version_id, t.to_segment_id AS segment_id, sum(t.n_customers) AS customers
    FROM segments.transition AS t
    WHERE t.segmentation = 'shop' AND t.to_segment_id IS NOT NULL
    GROUP BY t.from_version_id, t.to_version_id, t.to_segment_id
    UNION ALL
    SELECT t.from_version_id, t.from_segment_id, sum(t.n_customers)
    FROM segments.transition AS t
    WHERE t.segmentation = 'shop' AND t.from_segment_id IS NOT NULL
    GROUP BY t.from_version_id, t.to_version_id, t.from_segment_id
) AS sizes
JOIN segments.version AS v ON v.segmentation = 'shop' AND v.version_id = sizes.version_id
LEFT JOIN segments.shop_segment AS d ON d.segment_id = sizes.segment_id
GROUP BY v.version_id, v.data_as_of, sizes.segment_id, d.segment_name
ORDER BY v.version_id, sizes.segment_id;
