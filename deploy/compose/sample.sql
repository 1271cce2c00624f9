-- Run by the server's image when it makes a new data folder: the demo's shop, in one session and one transaction.
BEGIN;
\i /sample/1-customers.sql
\i /sample/2-orders.sql
\i /sample/3-features.sql
COMMIT;
