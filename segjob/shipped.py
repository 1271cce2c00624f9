"""Where the files lie that are no Python: inside the package once it is installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def sql_dir() -> Path:
    """The runtime SQL, the demo's and the examples for analysts."""
    return _shipped("sql")


def migrations_dir() -> Path:
    """The Alembic environment and its revisions."""
    return _shipped("migrations")


def _shipped(name: str) -> Path:
    installed = PACKAGE / f"_{name}"  # pyproject.toml puts it there
    return installed if installed.is_dir() else PACKAGE.parent / name
