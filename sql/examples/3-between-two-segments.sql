-- Who could as well be in another segment? A simplified silhouette near 0 means halfway between two centroids.
SELECT s.customer_id, s.segment_id, s.runner_up_segment_id, s.distance, s.simplified_silhouette
FROM segments.shop AS s
ORDER BY s.simplified_silhouette, s.customer_id
LIMIT 5;
