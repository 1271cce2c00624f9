"""How passes over chunks of customers are run; nothing here knows Postgres or the mathematics."""
