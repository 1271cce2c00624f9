"""How far two partitions of the same customers agree."""

from __future__ import annotations

import numpy as np


def adjusted_rand_index(first: np.ndarray, second: np.ndarray) -> float:
    """The adjusted Rand index of two label arrays (n,): 1 for equal partitions, about 0 for unrelated ones.

    Hubert, Arabie 1985. The names of the labels do not matter.
    """
    _, rows = np.unique(first, return_inverse=True)
    names, columns = np.unique(second, return_inverse=True)
    shared = np.unique(rows * len(names) + columns, return_counts=True)[1]
    together = pairs(shared)
    in_first, in_second = pairs(np.bincount(rows)), pairs(np.bincount(columns))
    expected = in_first * in_second / max(pairs(np.array([len(rows)])), 1)
    largest = (in_first + in_second) / 2
    return 1.0 if largest == expected else float((together - expected) / (largest - expected))


def pairs(counts: np.ndarray) -> int:
    """How many pairs of customers lie within groups of these sizes."""
    return sum(count * (count - 1) // 2 for count in counts.tolist())
