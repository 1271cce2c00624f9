"""Passes over the chunks of a spool, in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, Protocol, TypeVar

from segjob.errors import InternalError
from segjob.records.population import S
from segjob.threads import Pool

C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")
X = TypeVar("X")


class Chunks(Protocol):
    """Something that can be read chunk by chunk, by several threads; a spool is one."""

    @property
    def n_rows(self) -> int: ...

    @property
    def n_chunks(self) -> int: ...

    def read(self, place: int) -> Any: ...


class LocalPopulation(Generic[C]):
    """All customers in chunks; a `records.Population`.

    Parameters
    ----------
    chunks : where they lie
    decode : makes of what is read what a pass is given
    threads : how many chunks are worked on at once; the results do not depend on it
    """

    def __init__(
        self,
        chunks: Chunks,
        decode: Callable[[Any], C],
        threads: int = 1,
    ) -> None:
        self.chunks = chunks
        self.decode = decode
        self.threads = threads

    @property
    def n_rows(self) -> int:
        return self.chunks.n_rows

    def reduce(self, summarise: Callable[[C], S]) -> S:
        """Summarise every chunk and merge the summaries, always in the order of the chunks."""
        if not self.chunks.n_chunks:
            raise InternalError("a pass over no customers has no summary")
        return reduce(lambda merged, summary: merged.merge(summary), self.map(summarise))

    def map(self, compute: Callable[[C], T]) -> Iterator[T]:
        """Compute something of every chunk, in the order of the chunks; results are made as they are asked for."""

        def step(place: int) -> T:
            return compute(self.decode(self.chunks.read(place)))

        places = range(self.chunks.n_chunks)
        if self.threads == 1 or len(places) < 2:
            return map(step, places)
        return in_threads(step, places, self.threads)

    def at_once(self, compute: Callable[[X], T], items: Sequence[X]) -> list[T]:
        """Compute something of each item by as many threads as work on chunks; in the order of the items."""
        return [*in_threads(lambda place: compute(items[place]), range(len(items)), self.threads)]


def chunks_at_once(memory: int, chunk_bytes: int, cores: int) -> int:
    """How many chunks to work on at the same time: one a core, as far as they fit into so many bytes."""
    return max(1, min(cores, memory // chunk_bytes))


def in_threads(step: Callable[[int], T], places: range, threads: int) -> Iterator[T]:
    """The results in order, with at most one more chunk under way than there are threads."""
    pool = Pool(threads, "segjob-pass")
    under_way: deque[Future[T]] = deque()
    try:
        for place in places:
            under_way.append(pool.submit(step, place))
            if len(under_way) > threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Pair:
    """Two spools of the same customers with the same chunks, read side by side; either may be such a pair itself."""

    left: Chunks
    right: Chunks

    def __post_init__(self) -> None:
        if (self.left.n_rows, self.left.n_chunks) != (self.right.n_rows, self.right.n_chunks):
            raise InternalError(f"{self.left.n_rows} customers do not pair with {self.right.n_rows}")

    @property
    def n_rows(self) -> int:
        return self.left.n_rows

    @property
    def n_chunks(self) -> int:
        return self.left.n_chunks

    def read(self, place: int) -> tuple[Any, Any]:
        left, right = self.left.read(place), self.right.read(place)
        if rows_of(left) != rows_of(right):
            raise InternalError(f"chunk {place} pairs {rows_of(left)} customers with {rows_of(right)}")
        return left, right


def rows_of(read: Any) -> int:
    """The customers of a batch, or of a pair of what has the same ones."""
    return rows_of(read[0]) if isinstance(read, tuple) else read.num_rows


def zip_populations(left: LocalPopulation[C], right: LocalPopulation[D]) -> LocalPopulation[tuple[C, D]]:
    """Both views of the same customers at once, as the label pass needs keys beside coordinates."""

    def decode(both: tuple[Any, Any]) -> tuple[C, D]:
        return left.decode(both[0]), right.decode(both[1])

    return LocalPopulation(Pair(left.chunks, right.chunks), decode, right.threads)
