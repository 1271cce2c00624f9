-- Who is unlike everybody, also those of the own segment? The one in a thousand of each who lies farthest out.
SELECT customer_id, segment_id, segment_name, distance
FROM (
    SELECT
        s.customer_id,
        s.segment_id,
        s.segment_name,
        s.distance,
        percent_rank() OVER (PARTITION BY s.segment_id ORDER BY s.distance) AS place
    FROM segments.shop AS s
) AS ranked
WHERE place >= 0.999
ORDER BY distance DESC, customer_id;
