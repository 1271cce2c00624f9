"""How a segment continues the version before, in words."""

from __future__ import annotations

from collections.abc import Sequence

from segjob.records.version import Origin


def descent(segment_id: int, origin: Origin, from_segment_ids: Sequence[int]) -> str:
    """How a segment continues the version before, such as `split from 3`."""
    others = ", ".join(str(one) for one in from_segment_ids if one != segment_id)
    if origin == "kept":
        return f"kept, with what was {others}" if others else "kept"
    return f"{origin} from {others}" if others else origin
