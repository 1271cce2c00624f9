"""Labels into a table of their own, over several sessions at once."""
