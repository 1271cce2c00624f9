"""Whether the customers will fit, asked before the first of them is read."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from segjob.errors import NoRoom

COORDINATE_BYTES = 4  # float32, in the spool of what is clustered
OFFSET_BYTES = 4  # where a text begins
SURE = 0.75  # of the rows that a reliable forecast speaks of


def spool_row_bytes(schema: pa.Schema, width: int, n_columns: int) -> int:
    """The bytes that a customer takes in the spools, as read and as clustered.

    Parameters
    ----------
    schema : of the batches that are read
    width : bytes of the same columns in Postgres; what is beyond those of a fixed width is text
    n_columns : that are clustered; before reading nobody knows how many categories there are, so one a feature
    """
    fixed = sum(field.type.byte_width for field in schema if not pa.types.is_string(field.type))
    n_texts = sum(pa.types.is_string(field.type) for field in schema)
    texts = max(width - fixed, 0) + n_texts * OFFSET_BYTES if n_texts else 0
    return int(fixed + texts + n_columns * COORDINATE_BYTES)


def check_room(directory: Path, n_rows: int, row_bytes: int, in_memory: int, reliable: bool) -> str | None:
    """Compare what the spools will take with what is free; a sentence to warn with, where it may not be enough.

    Parameters
    ----------
    n_rows : the planner's forecast
    in_memory : bytes of the spools that stay in memory
    reliable : the forecast is good to a quarter; else it never refuses, for it may be wrong by any factor

    Raises
    ------
    NoRoom
        It is not enough, even if a quarter of the rows did not come.
    """
    free, needed = free_bytes(directory), n_rows * row_bytes - in_memory
    if free is None or needed <= free:
        return None
    sentence = (
        f"the planner expects {n_rows:,} customers, which need {size(needed)} in {directory} beside the"
        f" {size(in_memory)} that stay in memory, and {size(free)} are free there"
    )
    if reliable and n_rows * row_bytes * SURE - in_memory > free:
        raise NoRoom(
            f"{sentence}: make room, name a larger directory as resources.spool_dir, or raise resources.memory; if the"
            " source has far fewer rows, ANALYZE it"
        )
    return f"{sentence}; the forecast may be wrong, so the run goes on"


def free_bytes(directory: Path) -> int | None:
    """What this user may still write there; None where the file system does not tell."""
    try:
        found = os.statvfs(directory)
    except OSError:  # the spool itself says what is wrong with its directory
        return None
    return found.f_bavail * found.f_frsize if found.f_blocks else None


def size(n_bytes: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("KiB", "MiB", "GiB"):
        n_bytes /= 1024
        if n_bytes < 1000:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1024:.1f} TiB"
