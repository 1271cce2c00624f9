-- How old is what I see, did the last run go well, and is a new fit due?
SELECT
    s.segmentation,
    s.version_id,
    s.published_at,
    now() - s.data_as_of AS age_of_the_data,
    s.last_status,
    now() - s.last_success_at AS since_the_last_success,
    s.fit_due
FROM segments.segmentation AS s
WHERE s.segmentation = 'shop';
