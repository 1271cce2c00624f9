-- The last order lies as far back as its customer is inclined to, the others between it and the sign-up. One customer in
-- a hundred never ordered; of three in a hundred no discount was kept, of two in a hundred no channel.
CREATE TABLE shop.orders AS
WITH hash AS MATERIALIZED (
    SELECT inclination.*, nth, md5('order ' || customer_id || ' ' || nth) AS hash
    FROM inclination, generate_series(1, orders) AS nth
    WHERE NOT never_ordered
)
SELECT
    row_number() OVER (ORDER BY customer_id, nth) AS order_id,
    customer_id,
    CASE
        WHEN nth = 1 THEN DATE '2026-01-01' - recency
        ELSE signed_up_on
            + floor((DATE '2026-01-01' - recency - signed_up_on) * pg_temp.uniform(hash, 0))::integer
    END AS ordered_on,
    CASE
        WHEN mod(customer_id, 50) = 7 THEN NULL
        WHEN pg_temp.uniform(hash, 1) < web THEN 'web'
        ELSE 'store'
    END AS channel,
    round((amount * exp(0.45 * pg_temp.normal(hash, 2, false)))::numeric, 2) AS amount,
    CASE
        WHEN NOT hides_discount
        THEN round(least(0.9, greatest(0, discount + 0.06 * pg_temp.normal(hash, 2, true)))::numeric, 3)
    END AS discount
FROM hash
JOIN shop.customer USING (customer_id);

ALTER TABLE shop.orders ADD PRIMARY KEY (order_id), ADD FOREIGN KEY (customer_id) REFERENCES shop.customer;
CREATE INDEX ON shop.orders (customer_id);
COMMENT ON TABLE shop.orders IS 'What was bought: about eight orders a customer; a few customers never ordered';
COMMENT ON COLUMN shop.orders.channel IS 'web or store; NULL where it was not kept';
COMMENT ON COLUMN shop.orders.amount IS 'What was paid, in euro';
COMMENT ON COLUMN shop.orders.discount IS 'Share of the list price that was given away; NULL where it was not kept';

DROP FUNCTION pg_temp.normal(text, integer, boolean);
DROP FUNCTION pg_temp.uniform(text, integer);
