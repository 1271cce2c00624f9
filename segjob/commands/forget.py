"""`segjob forget`: customers are erased from all that is stored."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segjob.commands.database import open_database
from segjob.config import Settings
from segjob.errors import ConfigurationError, UsageError
from segjob.job.forgetting import forget_customers
from segjob.progress import Progress


def forget(settings: Settings, name: str, keys: Sequence[str], file: Path | None) -> dict[str, Any]:
    """Erase the customers with these keys, or those of a file."""
    if bool(keys) == bool(file):
        raise UsageError("give either keys or --csv FILE")
    columns = settings.segmentation(name).key
    given = keys_of_file(file, columns) if file else [parts_of(key, len(columns)) for key in keys]
    return forget_customers(open_database(settings), settings, name, given, Progress(name))


def parts_of(key: str, n_columns: int) -> list[str]:
    """The parts of a key. That of a single column is taken as it is, whatever is in it; others are a line of CSV."""
    return [key] if n_columns == 1 else next(csv.reader([key]), [])


def keys_of_file(file: Path, columns: Sequence[str]) -> list[list[str]]:
    """The key columns of a CSV file with a header, which may have others."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            missing = [column for column in columns if column not in (rows.fieldnames or ())]
            if missing:
                raise UsageError(f"--csv {file}: the header has no column {missing[0]}")
            return [[row[column] or "" for column in columns] for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"can not read {file}: {type(error).__name__}") from None


def print_forgotten(found: dict[str, Any]) -> None:
    """How many rows went from where; the keys are not repeated."""
    customers = "1 customer" if found["n_keys"] == 1 else f"{found['n_keys']:,} customers"
    print(f"{found['segmentation']}: {customers} forgotten, {found['n_rows']:,} rows erased, 0 left")
    for one in found["tables"]:
        print(f"  {one['table']}: {one['n_rows']:,}")
    if not found["tables"]:
        print("  there was nothing of theirs")
    print("whoever is still in the source comes back with the next run")
