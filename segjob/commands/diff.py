"""`segjob diff`: who moved between two versions."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segjob import console
from segjob.commands.database import opened
from segjob.config import Settings
from segjob.errors import DataError
from segjob.postgres.publishing.moves import compare
from segjob.postgres.publishing.publications import Candidate, candidate
from segjob.postgres.publishing.transitions import load_transitions
from segjob.postgres.publishing.versions import load_segments
from segjob.postgres.queries import Names
from segjob.postgres.shapes import stored_keys
from segjob.postgres.writing.write import Part, part_state
from segjob.records.comparison import Comparison, Transition
from segjob.records.version import Segment

if TYPE_CHECKING:
    from sqlalchemy import Connection

NOBODY = "–"


def diff(settings: Settings, name: str, a: int, b: int) -> dict[str, Any]:
    """How the customers of version `a` are spread over version `b`, in numbers.

    From the labels where both versions still have them, else from what was stored when `b` was made or published.

    Raises
    ------
    DataError
        There is no such version, or labels are gone and nothing was stored of these two.
    """
    with opened(settings, name) as (database, connection):
        before, after = (candidate(connection, name, version_id) for version_id in (a, b))
        keys = stored_keys(connection, name)
        parts = [Part(Names(database.schemas, name), one.version_id, keys) for one in (before, after)]
        readable = [has_labels(connection, part) for part in parts]
        stored = load_transitions(connection, name, a, b)
        segments = [load_segments(connection, name, version_id) for version_id in (a, b)]
    if all(readable):
        found = compare(database, *parts, carried=after.parent_version_id == a)
    elif stored is None:
        raise nothing_left(name, [one for one, there in zip((before, after), readable, strict=True) if not there])
    else:
        found = stored
    return document(name, (a, b), found, segments, "labels" if all(readable) else "stored")


def has_labels(connection: Connection, part: Part) -> bool:
    return part_state(connection, part).present


def nothing_left(name: str, gone: list[Candidate]) -> DataError:
    numbers = " and ".join(str(one.version_id) for one in gone)
    return DataError(
        f"{name}: the labels of version {numbers} are gone, and nothing was stored of who moved between these two; "
        "see segments.transition for which it was"
    )


def document(
    name: str, versions: tuple[int, int], found: Comparison, segments: list[tuple[Segment, ...]], source: str
) -> dict[str, Any]:
    """What `diff --json` prints."""
    names = [{segment.segment_id: segment.name for segment in side} for side in segments]
    moved = [one for one in found.transitions if one.from_segment_id is not None and one.to_segment_id is not None]
    return {
        "segmentation": name,
        "from_version_id": versions[0],
        "to_version_id": versions[1],
        "source": source,
        "n_shared": found.n_shared,
        "n_stayed": found.n_stayed,
        "n_moved": found.n_shared - found.n_stayed,
        "n_came": found.n_came,
        "n_left": found.n_left,
        "n_features_moved": known_sum([one.n_features_moved for one in moved if not stays(one)]),
        "n_model_moved": known_sum([one.n_model_moved for one in moved if not stays(one)]),
        "label_churn": found.label_churn,
        "transitions": [
            asdict(one)
            | {"from_segment_name": names[0].get(one.from_segment_id or 0)}
            | {"to_segment_name": names[1].get(one.to_segment_id or 0)}
            for one in sorted(found.transitions, key=in_order)
        ],
    }


def stays(one: Transition) -> bool:
    return one.from_segment_id == one.to_segment_id


def known_sum(counts: list[int | None]) -> int | None:
    """The sum, or None where a part of it is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def in_order(one: Transition) -> tuple[bool, int, bool, int]:
    """By segment; who came and who left stand last."""
    before, after = one.from_segment_id, one.to_segment_id
    return before is None, before or 0, after is None, after or 0


def print_diff(found: dict[str, Any]) -> None:
    a, b = found["from_version_id"], found["to_version_id"]
    churn = found["label_churn"]
    share = f" ({churn:.2%} of those in both)" if churn is not None else ""
    stored = ", as stored then" if found["source"] == "stored" else ""
    print(
        f"{found['segmentation']}, version {a} to {b}{stored}: {found['n_stayed']:,} stayed, "
        f"{found['n_moved']:,} moved{share}, {found['n_came']:,} came, {found['n_left']:,} left"
    )
    if found["n_moved"] and found["n_model_moved"] is not None:
        print(
            f"of those who moved, {found['n_features_moved']:,} because their features changed and "
            f"{found['n_model_moved']:,} because the model did; it can be both"
        )
    columns = ("from", "to", "customers", "features moved", "model moved")
    console.table("", columns, [row(one) for one in found["transitions"]])


def row(one: dict[str, Any]) -> list[Any]:
    sides = [side(one[f"{end}_segment_id"], one[f"{end}_segment_name"]) for end in ("from", "to")]
    return [*sides, one["n_customers"], one["n_features_moved"], one["n_model_moved"]]


def side(segment_id: int | None, name: str | None) -> str:
    return NOBODY if segment_id is None else f"{segment_id} · {name}"
