"""What travels: customers in chunks, and how every pass visits them.

Arrays are numpy; `n` stands for customers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Chunk:
    """Some customers as they were read.

    Attributes
    ----------
    keys : the key columns, n rows, in the order of the configuration
    numbers : (n, number of numeric features) float64; NaN is missing (NULL, NaN and the infinities alike)
    categories : one string array a one-hot feature, in the order of the configuration; null is missing
    """

    keys: pa.RecordBatch
    numbers: np.ndarray
    categories: tuple[pa.Array, ...]

    @property
    def n_rows(self) -> int:
        return int(self.numbers.shape[0])


class Summary(Protocol):
    """What a pass makes of one chunk; merging is associative and does not depend on the order."""

    def merge(self, other: Self) -> Self: ...


C = TypeVar("C", covariant=True)
T = TypeVar("T")
X = TypeVar("X")
S = TypeVar("S", bound=Summary)


class Population(Protocol[C]):
    """All customers of a snapshot in chunks, visited as often as needed; every pass over the data is one of these."""

    @property
    def n_rows(self) -> int: ...

    def reduce(self, summarise: Callable[[C], S]) -> S:
        """Summarise every chunk and merge the summaries. There is at least one chunk."""
        ...

    def map(self, compute: Callable[[C], T]) -> Iterator[T]:
        """Compute something of every chunk, in the order of the chunks."""
        ...

    def at_once(self, compute: Callable[[X], T], items: Sequence[X]) -> list[T]:
        """Compute something of each item by as many threads as work on chunks; in the order of the items."""
        ...
