"""segjob turns a customer table in Postgres into segments that a business can trust and join on."""

__version__ = "0.1.0"
