"""Which valid name somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest_name(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that resembles `name` most, or None when none does."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else None


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return the second half of a sentence about an unknown name: the nearest valid one, or all of them."""
    candidates = sorted(valid)
    close = nearest_name(name, candidates)
    if close is not None:
        return f"did you mean {close}?"
    return f"known are {', '.join(candidates)}" if candidates else "there is none"
