-- Who went from one segment to another in the last month, and when? Those who came and those who left are not listed.
SELECT
    h.customer_id,
    before.segment_name AS was,
    h.segment_name AS became,
    h.valid_from AS moved_at
FROM segments.shop_history AS h
JOIN segments.shop_history AS before
    ON before.customer_id = h.customer_id AND before.valid_to = h.valid_from AND before.segment_id <> h.segment_id
WHERE h.valid_from > now() - INTERVAL '1 month'
ORDER BY h.valid_from DESC, h.customer_id;
