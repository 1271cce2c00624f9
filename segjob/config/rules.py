"""What no single key can tell: names that collide in the database."""

from __future__ import annotations

from collections.abc import Iterator

from segjob.config.problems import Problem
from segjob.config.settings import Settings

SHARED_OBJECTS = ("segmentation", "version", "run", "gate", "transition", "publication", "k_candidate")
"""Views that every installation has in the analysts' schema, whatever is segmented."""

OWN_SUFFIXES = ("", "_profile", "_centroid", "_segment", "_history", "_unlabelled", "_as_of", "_assign")
"""What each segmentation has there under its own name. In the private schema every name of a segmentation follows
`label_`, `membership_` or `placed_`, which no other object there begins with."""


def colliding_names(settings: Settings) -> Iterator[Problem]:
    """Yield each segmentation whose views or functions would have the name of another object."""
    schema = settings.database.public_schema
    owners = dict.fromkeys(SHARED_OBJECTS)
    for name in sorted(settings.segmentations, key=len):
        own = [f"{name}{suffix}" for suffix in OWN_SUFFIXES]
        taken = next((other for other in own if other in owners), None)
        if taken is not None:
            owner = f"the segmentation {owners[taken]}" if owners[taken] else "the job itself"
            sentence = f"would make a second {schema}.{taken}, which {owner} has already; rename the segmentation"
            yield Problem(("segmentations", name), sentence)
        owners.update(dict.fromkeys(own, name))
