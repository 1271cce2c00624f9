"""All that speaks to Postgres; nothing here knows torch."""
