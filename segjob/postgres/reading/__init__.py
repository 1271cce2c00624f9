"""The customers out of Postgres, in bulk and under one snapshot, and labels back out again."""
