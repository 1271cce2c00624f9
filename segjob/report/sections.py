"""The page from top to bottom: which figures and tables it has, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segjob.records.version import Candidate, Score, Version
from segjob.report import customers, elbow, explanation, figures, moved, tables
from segjob.report.drawing import Figure
from segjob.report.moved import Flow
from segjob.report.projection import Projection, clustered_columns, project
from segjob.report.tables import Table
from segjob.report.wording import Share, basis_text, number, silhouette_text, written

NO_FEATURE = "Every feature is constant, so there is nothing to draw here."
NO_SAMPLE = "This version kept no sampled customers, so there is nothing to draw here."


@dataclass(frozen=True)
class KeyFigure:
    """One score of the version, with what it means."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Section:
    """One part of the page. `label` says what the figure shows to those who can not see it."""

    slug: str
    heading: str
    lead: str
    label: str = ""
    figure: Figure | None = None
    tables: tuple[Table, ...] = ()


def key_figures(version: Version) -> tuple[KeyFigure, ...]:
    unlabelled = "every customer has a segment" if version.n_unlabelled == 0 else "customers without a segment"
    return (
        silhouette_figure("Silhouette", version.silhouette, len(version.segments)),
        silhouette_figure("Squared silhouette", version.squared_silhouette, len(version.segments)),
        KeyFigure("Inertia", written(version.inertia), "squared distances to the own centroid; lower is tighter"),
        KeyFigure("Davies–Bouldin", written_or_none(version.davies_bouldin), "lower is better"),
        KeyFigure("Calinski–Harabasz", written_or_none(version.calinski_harabasz), "higher is better"),
        KeyFigure("Unlabelled", number(version.n_unlabelled), unlabelled),
    )


def silhouette_figure(name: str, score: Score, n_segments: int) -> KeyFigure:
    if score.value is None:
        return KeyFigure(name, "none", "there is one segment" if n_segments == 1 else "")
    return KeyFigure(name, number(score.value), basis_text(score))


def written_or_none(value: float | None) -> str:
    return "none" if value is None else written(value)


def sections(version: Version, candidates: Sequence[Candidate], flow: Flow | None = None) -> tuple[Section, ...]:
    """The figures in the order of the page; the last two only where there is something to compare."""
    found = [customers_section(version), sizes_section(version), silhouettes_section(version), heat_section(version)]
    if any(segment.rule for segment in version.segments):
        found.append(rules_section(version))
    if flow is not None:
        found.append(flow_section(version, flow))
    if len(candidates) > 1:
        found.append(elbow_section(version, candidates))
    return tuple(found)


def customers_section(version: Version) -> Section:
    if not version.sample or not clustered_columns(version):
        return Section("customers", "Customers", NO_FEATURE if version.sample else NO_SAMPLE)
    projection = project(version)
    found = [tables.customers_table(version, projection)]
    if projection.loadings is not None:
        found.append(tables.loadings_table(version, projection.loadings))
    along = len(projection.axes) == 1
    figure = customers.histogram(version, projection) if along else customers.scatter(version, projection)
    axes = " and ".join(axis.title for axis in projection.axes)
    kind = "Histogram" if along else "Scatter plot"
    label = f"{kind} of {sampled(version)} in {counted(version)}, along {axes}"
    return Section("customers", "Customers", customers_lead(version, projection), label, figure, tuple(found))


def customers_lead(version: Version, projection: Projection) -> str:
    each = f"Each point is one of {sampled(version)}"
    if len(projection.axes) == 1:
        each = f"Shown are {sampled(version)}, stacked by segment"
    discs = "the numbered discs are the centroids of the segments."
    if projection.loadings is None:
        return f"{each}; {discs}"
    return (
        f"{each}, seen along the two directions in which the scaled features differ most (principal components); "
        f"{discs} Segments that overlap here may lie apart in the directions that are not shown."
    )


def sampled(version: Version) -> str:
    kept, all_of_them = len(version.sample), version.n_customers
    if kept == all_of_them:
        return f"{all_of_them:,} customers"
    return f"{kept:,} customers sampled from {all_of_them:,}"


def counted(version: Version) -> str:
    return "1 segment" if len(version.segments) == 1 else f"{len(version.segments)} segments"


def sizes_section(version: Version) -> Section:
    lead = f"How the {version.n_customers:,} labelled customers are spread over the segments."
    label = f"Bar chart of the sizes of {counted(version)}"
    return Section("sizes", "Segment sizes", lead, label, figures.sizes(version), (tables.sizes_table(version),))


def silhouettes_section(version: Version) -> Section:
    heading, score = "Silhouettes", version.silhouette
    if score.value is None:
        value = silhouette_text(score, len(version.segments))
        return Section("silhouettes", heading, f"Silhouette: {value}.")
    found = (tables.silhouettes_table(version),)
    if all(row.silhouette is None for row in version.sample):
        return Section("silhouettes", heading, NO_SAMPLE, tables=found)
    lead = (
        "How well each sampled customer sits in its segment: near 1 it is far from every other segment, near 0 it lies "
        f"between two, below 0 another segment is nearer. The dashed line is the mean, {number(score.value)} "
        f"({basis_text(score)})."
    )
    label = f"Silhouettes of the sampled customers, sorted within {counted(version)}; mean {number(score.value)}"
    return Section("silhouettes", heading, lead, label, figures.silhouettes(version), found)


def heat_section(version: Version) -> Section:
    if not clustered_columns(version):
        return Section("centroids", "Centroids", NO_FEATURE)
    lead = (
        "What sets the segments apart: the text is the centroid in the units of the source, the colour says how many "
        "standard deviations the members’ mean lies above or below that of all customers."
    )
    label = f"Heat map of the centroids of {counted(version)} over the clustered features"
    found = (tables.centroids_table(version), tables.differences_table(version), tables.means_table(version))
    figure = figures.heat_map(version, tables.difference_matrix(version))
    return Section("centroids", "Centroids", lead, label, figure, found)


def rules_section(version: Version) -> Section:
    lead = (
        "Each rule is a SQL predicate over the columns of the source that finds most of a segment and few others: its "
        "precision is the share of its customers that are in the segment, its recall the share of the segment that it "
        "finds, both counted over all labelled customers. The labels are the segments; a rule describes them."
    )
    return Section("rules", "Rules", lead, tables=(explanation.rules_table(version),))


def flow_section(version: Version, flow: Flow) -> Section:
    before, found = flow.from_version_id, flow.comparison
    churn = "" if found.label_churn is None else f" ({written(Share(found.label_churn))} of those in both)"
    lead = (
        f"From version {before}, which was published when this one was made, on the left, to this one on the right. "
        f"{number(found.n_stayed)} customers stay in their segment, {number(found.n_shared - found.n_stayed)} change "
        f"it{churn}, {number(found.n_came)} came and {number(found.n_left)} left."
    )
    label = f"Flow of customers from the segments of version {before} to the {counted(version)} of this one"
    return Section(
        "flow", "Who moved", lead, label, moved.flow_figure(version, flow), (moved.flow_table(version, flow),)
    )


def elbow_section(version: Version, candidates: Sequence[Candidate]) -> Section:
    ordered = sorted(candidates, key=lambda candidate: candidate.n_clusters)
    lead = (
        "The sum of squares within the segments (inertia) always falls when there are more of them; where it stops "
        "falling fast, more segments explain little. A higher silhouette is better; the band is its 95 % interval. "
        f"{suggested(ordered)} The large marks are the {counted(version)} of this version."
    )
    label = f"Inertia and silhouette for {ordered[0].n_clusters} to {ordered[-1].n_clusters} segments"
    figure = elbow.elbow(ordered, len(version.segments))
    return Section("elbow", "How many segments", lead, label, figure, (elbow.candidates_table(ordered),))


def suggested(candidates: Sequence[Candidate]) -> str:
    """Which of the numbers the scores speak for."""
    found = [candidate.n_clusters for candidate in candidates if candidate.suggested]
    return f"Suggested: {found[0]} segments." if found else "No number is clear."


def making(version: Version) -> tuple[Table, ...]:
    """How the model was made, as tables."""
    asked = (tables.gates_table(version),) if version.gates else ()
    return (
        tables.features_table(version),
        tables.constants_table(version),
        tables.population_table(version),
        tables.stages_table(version),
        *asked,
        tables.provenance_table(version),
    )
