"""One segmentation after the other: what several names have in common, whatever is done to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from segjob import console
from segjob.errors import SegjobError, Stopped


def each(names: Sequence[str], step: Callable[[str], tuple[dict[str, Any], int]]) -> tuple[list[dict[str, Any]], int]:
    """Take a step for each name; returns their documents and the highest exit code.

    One alone may raise; among several, a failed one leaves its document and the next goes on.
    """
    results, exit_code = [], 0
    for name in names:
        try:
            result, code = step(name)
        except SegjobError as error:
            if len(names) == 1 or isinstance(error, Stopped):
                raise
            console.complain(error)
            result, code = {"segmentation": name, **console.failure(error)}, error.exit_code
        results.append(result)
        exit_code = max(exit_code, code)
    return results, exit_code
