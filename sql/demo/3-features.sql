-- One row a customer, with what the segmentation looks at: recency, frequency, monetary value, and two habits.
CREATE VIEW shop.customer_features AS
SELECT
    customer.customer_id,
    DATE '2026-01-01' - max(orders.ordered_on) AS recency_days,
    count(orders.order_id) AS frequency,
    coalesce(sum(orders.amount), 0) AS monetary,
    avg(orders.discount) AS avg_discount,
    avg((orders.channel = 'web')::integer)::double precision AS web_share
FROM shop.customer
LEFT JOIN shop.orders USING (customer_id)
GROUP BY customer.customer_id;

COMMENT ON VIEW shop.customer_features IS 'RFM and two habits, as of 2026-01-01';
COMMENT ON COLUMN shop.customer_features.recency_days IS 'Days since the last order; NULL for who never ordered';
COMMENT ON COLUMN shop.customer_features.frequency IS 'Number of orders';
COMMENT ON COLUMN shop.customer_features.monetary IS 'Sum of what was paid, in euro';
COMMENT ON COLUMN shop.customer_features.avg_discount IS 'Mean share given away; NULL where it was not kept';
COMMENT ON COLUMN shop.customer_features.web_share IS 'Share of the orders made on the web; NULL where it was not kept';

ANALYZE shop.customer;
ANALYZE shop.orders;
ANALYZE shop.customer_truth;
