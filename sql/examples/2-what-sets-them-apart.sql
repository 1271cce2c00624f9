-- What sets a segment apart? The three features whose members' mean lies farthest from everybody's, in deviations.
SELECT segment_id, feature, segment_mean, population_mean, deviations
FROM (
    SELECT
        segment_id,
        feature,
        segment_mean,
        population_mean,
        (segment_mean - population_mean) / nullif(population_std, 0) AS deviations,
        row_number() OVER (
            PARTITION BY segment_id
            ORDER BY abs(segment_mean - population_mean) / nullif(population_std, 0) DESC NULLS LAST
        ) AS place
    FROM segments.shop_centroid
) AS ranked
WHERE place <= 3
ORDER BY segment_id, place;
