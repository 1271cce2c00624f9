"""What sets each segment apart, in a line, and its rule."""

from __future__ import annotations

from segjob.records.version import Segment, Version
from segjob.report.projection import clustered_columns
from segjob.report.tables import Table, difference, heading
from segjob.report.wording import NONE, Share, number

APART = 0.5  # standard deviations from which on a feature is worth a word
MOST_FEATURES = 3


def rules_table(version: Version) -> Table:
    """What sets each segment apart, the rule that finds its customers, and how good that is."""
    rows = []
    for segment in version.segments:
        shares = (None if share is None else Share(share) for share in (segment.rule_precision, segment.rule_recall))
        rows.append((heading(segment), apart_text(version, segment), segment.rule or NONE, *shares))
    columns = ("Segment", "Standard deviations from all customers", "Rule", "Precision", "Recall")
    return Table("What sets the segments apart, and a rule for each", columns, tuple(rows))


def apart_text(version: Version, segment: Segment) -> str:
    """The features that set a segment apart, the farthest first."""
    found = {centroid.feature: centroid for centroid in version.centroids if centroid.segment_id == segment.segment_id}
    apart = [(column.feature, difference(column, found[column.feature])) for column in clustered_columns(version)]
    far = [(feature, value) for feature, value in apart if value is not None and abs(value) >= APART]
    far.sort(key=lambda one: -abs(one[1]))
    texts = [f"{feature} {'+' if value > 0 else ''}{number(value, digits=2)}" for feature, value in far[:MOST_FEATURES]]
    return ", ".join(texts) or "near the average in everything"
