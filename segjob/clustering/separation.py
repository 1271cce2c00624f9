"""Whether the segments lie apart: between each two of them there are fewer customers than at either centre.

The silhouette weighs distances, and with many features it likes two near groups as one where others are far. Whether
two segments are two groups shows along the line between their centres: a cloud that is cut has as many customers in the
middle as elsewhere, and two groups leave a valley there (compare Ashman's D; Ashman, Bird, Zepf 1994).
"""

from __future__ import annotations

import numpy as np

ROWS = 2**14
NEAR = 0.1  # of the way from one centre to the other, to both sides
VALLEY = 0.25  # of the customers near either centre; groups 4 standard deviations apart leave 0.27, 6 apart 0.02
FEWEST = 3  # customers near a centre, to tell


def lie_apart(rows: np.ndarray, index: np.ndarray, centers: np.ndarray) -> bool:
    """Whether there is a valley between each two segments; the nearest two are asked first.

    Parameters
    ----------
    rows : (s, d) grid coordinates in the order of the hashes, of which the first 2**14 are looked at
    index : (s,) the segment of each
    centers : (k, d) int64
    """
    rows, index = rows[:ROWS].astype(np.float64), index[:ROWS]
    members = [rows[index == each] for each in range(len(centers))]
    first, second = np.triu_indices(len(centers), 1)
    squared = np.square(centers[first] - centers[second]).sum(axis=1)
    order = np.argsort(squared, kind="stable")
    return all(
        has_valley(np.concatenate([members[i], members[j]]), centers[i], centers[j])
        for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True)
    )


def has_valley(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> bool:
    """Whether few of the rows (n, d) of two segments lie in the middle between their centres (d,)."""
    way = (second - first).astype(np.float64)
    along = (2.0 * rows - first - second) @ way / (2.0 * (way @ way))  # -1/2 at the first centre, 1/2 at the second
    middle, here, there = (int(np.count_nonzero(np.abs(along - place) < NEAR)) for place in (0.0, -0.5, 0.5))
    return min(here, there) >= FEWEST and middle <= VALLEY * min(here, there)
