"""What is learnt of the customers while they are read, and the sample of them, which a thread puts in order after."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from segjob.clustering.sample import HashSample
from segjob.clustering.survey import Survey, survey_chunk
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec
from segjob.threads import Pool


@dataclass(frozen=True)
class Surveyed:
    """What was learnt of some customers.

    Attributes
    ----------
    at_once : all but the sample, which has no rows here
    ordering : the sample in the order of its hashes
    """

    at_once: Survey
    ordering: Future[HashSample]

    @property
    def settled(self) -> Survey:
        """All of it, as soon as the sample is in order."""
        return replace(self.at_once, sample=self.ordering.result())


class Surveyor:
    """Learns of the customers chunk by chunk."""

    def __init__(self, specs: Sequence[FeatureSpec]) -> None:
        self._specs = specs
        self._survey: Survey | None = None

    def see(self, chunk: Chunk) -> None:
        if chunk.n_rows:
            found = survey_chunk(self._specs, chunk)
            self._survey = found if self._survey is None else self._survey.merge(found)

    def finish(self, thread: Pool) -> Surveyed | None:
        """What was learnt, or None of nobody; nothing is kept here, so that the thread can free what was not chosen."""
        survey, self._survey = self._survey, None
        if survey is None:
            return None
        return Surveyed(replace(survey, sample=survey.sample.without_rows()), thread.submit(survey.sample.settle))
