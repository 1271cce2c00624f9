"""Alembic's entry: runs the revisions on the connection it is handed, or prints them, in the configured schemas."""

from __future__ import annotations

from alembic import context

config = context.config
private: str = config.attributes["private"]
public: str = config.attributes["public"]

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", version_table_schema=private, private=private, public=public)
    with context.begin_transaction():
        context.run_migrations()
else:
    context.configure(
        connection=config.attributes["connection"],
        target_metadata=config.attributes.get("target_metadata"),
        version_table_schema=private,
        private=private,
        public=public,
    )
    with context.begin_transaction():
        context.run_migrations()
