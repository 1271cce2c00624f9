-- The demo's shop. Nothing in it is random: every number is made of digits of an MD5 hash, so that every server of every
-- version draws the same customers and orders.
CREATE SCHEMA shop;

-- Digits 8 * place + 1 to 8 * place + 8 of a hash as a number between 0 and 1.
CREATE FUNCTION pg_temp.uniform(hash text, place integer) RETURNS double precision IMMUTABLE LANGUAGE sql
RETURN (('x' || substr(hash, 8 * place + 1, 8))::bit(32)::bigint + 0.5) / 4294967296;

-- Sixteen digits of a hash as a normal deviate (Box and Muller, 1958). Turned by a right angle, they give a second one.
CREATE FUNCTION pg_temp.normal(hash text, place integer, turned boolean) RETURNS double precision IMMUTABLE LANGUAGE sql
RETURN sqrt(-2 * ln(pg_temp.uniform(hash, place)))
    * cos(2 * pi() * (pg_temp.uniform(hash, place + 1) + CASE WHEN turned THEN 0.25 ELSE 0 END));

-- 20,000 customers of five overlapping segments, about 8 : 5 : 4 : 2 : 1, with what each is inclined to do.
CREATE TEMPORARY TABLE inclination ON COMMIT DROP AS
WITH segment (segment, share_from, share_to, recency, recency_spread, orders, orders_spread, amount, discount, web) AS (
    VALUES  -- days since the last order, orders, euro an order: medians; a spread is the logarithm's deviation
        ('occasional',  0.00, 0.40,  60, 0.50,  4, 0.30,  38, 0.10, 0.35),
        ('regular',     0.40, 0.65,  14, 0.50, 13, 0.22,  45, 0.07, 0.35),
        ('bargain',     0.65, 0.85,  45, 0.50,  8, 0.25,  22, 0.33, 0.80),
        ('lapsed',      0.85, 0.95, 600, 0.30,  4, 0.30,  38, 0.10, 0.35),
        ('big spender', 0.95, 1.00,  25, 0.50, 12, 0.25, 340, 0.04, 0.60)
),
hash AS MATERIALIZED (
    SELECT customer_id, md5('person ' || customer_id) AS person, md5('habit ' || customer_id) AS habit,
        md5('purse ' || customer_id) AS purse
    FROM generate_series(1, 20000) AS customer_id
)
SELECT
    customer_id,
    person,
    segment,
    round(recency * exp(recency_spread * pg_temp.normal(habit, 0, false)))::integer AS recency,
    greatest(1, round(orders * exp(orders_spread * pg_temp.normal(habit, 0, true))))::integer AS orders,
    discount + 0.05 * pg_temp.normal(habit, 2, false) AS discount,
    web + 0.12 * pg_temp.normal(habit, 2, true) AS web,
    amount * exp(0.30 * pg_temp.normal(purse, 0, false)) AS amount,
    pg_temp.uniform(purse, 2) < 0.01 AS never_ordered,
    pg_temp.uniform(purse, 3) < 0.03 AS hides_discount
FROM hash
JOIN segment ON pg_temp.uniform(person, 0) BETWEEN share_from AND share_to;

-- Everybody signed up at most four years before the last order; one in eight did not tell the date of birth.
CREATE TABLE shop.customer AS
SELECT
    customer_id,
    (ARRAY['DE', 'DE', 'DE', 'FR', 'FR', 'NL', 'PL', 'AT'])[1 + floor(8 * pg_temp.uniform(person, 1))] AS country,
    CASE
        WHEN mod(customer_id, 8) > 0 THEN DATE '1942-01-01' + floor(23000 * pg_temp.uniform(person, 2))::integer
    END AS birth_date,
    DATE '2026-01-01' - recency - floor(1400 * pg_temp.uniform(person, 3))::integer AS signed_up_on
FROM inclination;

ALTER TABLE shop.customer ADD PRIMARY KEY (customer_id);
COMMENT ON TABLE shop.customer IS 'The customers of the demo shop';
COMMENT ON COLUMN shop.customer.birth_date IS 'NULL where the customer did not tell';

CREATE TABLE shop.customer_truth AS
SELECT customer_id, segment FROM inclination;

ALTER TABLE shop.customer_truth ADD PRIMARY KEY (customer_id);
COMMENT ON TABLE shop.customer_truth IS 'The segment each customer was drawn from, which no real shop knows';
