-- What is each segment worth? Labels are joined on the customer's own key.
SELECT
    s.segment_id,
    s.segment_name,
    count(DISTINCT s.customer_id) AS customers,
    sum(o.amount) AS revenue,
    round(avg(o.amount), 2) AS average_order
FROM segments.shop AS s
JOIN shop.orders AS o USING (customer_id)
GROUP BY s.segment_id, s.segment_name
ORDER BY revenue DESC;
