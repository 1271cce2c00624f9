-- What did each segment spend, when every order counts for the segment that the customer was in on that day? Orders from
-- before the first publication, and those of customers without a segment, have none.
SELECT
    date_trunc('month', o.ordered_on)::date AS month,
    h.segment_id,
    h.segment_name,
    count(*) AS orders,
    sum(o.amount) AS revenue
FROM shop.orders AS o
LEFT JOIN segments.shop_history AS h
    ON h.customer_id = o.customer_id AND h.valid_from <= o.ordered_on AND h.valid_to > o.ordered_on
GROUP BY date_trunc('month', o.ordered_on), h.segment_id, h.segment_name
ORDER BY month, h.segment_id;
