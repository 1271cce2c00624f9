"""The feature plan: all constants that lead from the source's values to the grid, found in at most two exact passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from segjob.clustering.categories import candidates_of
from segjob.clustering.columns import Draft, number_draft, onehot_drafts, scaled_draft
from segjob.clustering.features import Rows, grid_matrix, numeric_specs, onehot_specs
from segjob.clustering.grid import smallest_exponent, unit_of
from segjob.clustering.moments import exponent_for
from segjob.clustering.plan_passes import SourcePass, source_pass, transformed_pass
from segjob.clustering.survey import Survey
from segjob.errors import ConfigurationError, DataError
from segjob.records.model import ModelColumn
from segjob.records.population import Chunk, Population
from segjob.records.source import FeatureFamily, FeatureSpec

MOST_COLUMNS = 128
LARGEST_VALUE = 1e150
BLOCK = 65_536
COARSE_STEPS = 256


@dataclass(frozen=True)
class FeaturePlan:
    """The constants of every column and the grid they share, with what a person should know about them.

    Attributes
    ----------
    columns : clustered and dropped ones, in the order of the configuration
    grid_exponent : e; the grid's unit is 2**(e - 16) in the clustered space
    warnings : sentences, such as which constant column was dropped
    """

    columns: tuple[ModelColumn, ...]
    grid_exponent: int
    warnings: tuple[str, ...]

    @property
    def unit(self) -> float:
        return unit_of(self.grid_exponent)

    @property
    def clustered(self) -> tuple[ModelColumn, ...]:
        return tuple(column for column in self.columns if column.position is not None)

    def transform(self, rows: Rows) -> np.ndarray:
        """The (n, d) float64 grid coordinates of customers of the fit, whole numbers within 2**20."""
        return grid_matrix(self.columns, self.grid_exponent, rows.numbers, rows.categories, clamp=False)

    def prepare(self, rows: Rows) -> np.ndarray:
        """The same as float32, which holds these whole numbers exactly; built in blocks to spare memory."""
        prepared = np.empty((len(rows.numbers), len(self.clustered)), np.float32)
        for start in range(0, len(prepared), BLOCK):
            block = slice(start, start + BLOCK)
            categories = [column[block] for column in rows.categories]
            prepared[block] = grid_matrix(
                self.columns, self.grid_exponent, rows.numbers[block], categories, clamp=False, dtype=np.float32
            )
        return prepared


def first_pass(specs: Sequence[FeatureSpec], survey: Survey, population: Population[Chunk]) -> SourcePass:
    """What is exact over the population; of the survey this takes all but the sample, which need not be settled.

    Raises
    ------
    DataError
        There is no customer, or a value is so large that its square leaves float64.
    """
    check_survey(specs, survey)
    exponents = [exponent_for(*ends) for ends in zip(survey.minimum, survey.maximum, strict=True)]
    complete = not survey.n_missing.any()
    return population.reduce(partial(source_pass, tuple(specs), exponents, candidates(survey), complete))


def plan_features(
    specs: Sequence[FeatureSpec],
    families: Sequence[FeatureFamily],
    survey: Survey,
    source: SourcePass,
    population: Population[Chunk],
) -> FeaturePlan:
    """Find all constants of the features.

    Means, deviations, extremes and counts are exact over the population; quantiles and medians come from the survey's
    sample, which is the whole population when that is small enough.

    Parameters
    ----------
    specs, families : the features as configured, and how each column is read
    survey : of exactly the customers of `population`
    source : the `first_pass` over these

    Raises
    ------
    DataError
        A feature leaves float64 after scale and weight.
    ConfigurationError
        There would be more than 128 columns.
    """
    drafts = place(drafted_columns(specs, families, survey, source, population))
    clustered = [draft for draft in drafts if draft.column.position is not None]
    check_reach(clustered)
    exponent = smallest_exponent(max(draft.reach for draft in clustered))
    constant = constant_warnings(drafts, survey.n_rows)
    warnings = (*constant, *unscaled_warnings(clustered), *coarse_warnings(clustered, exponent))
    return FeaturePlan(tuple(draft.column for draft in drafts), exponent, warnings)


def check_survey(specs: Sequence[FeatureSpec], survey: Survey) -> None:
    if not survey.n_rows:
        raise DataError("there is no customer to segment: the source is empty, or every row was excluded")
    numbers = zip(numeric_specs(specs), survey.minimum, survey.maximum, survey.n_missing, strict=True)
    for spec, low, high, n_missing in numbers:
        if n_missing < survey.n_rows and max(-low, high) > LARGEST_VALUE:
            raise DataError(
                f"column {spec.column} holds values beyond {LARGEST_VALUE:g}, whose squares no float8 can hold: "
                "divide it in the source, or leave it out"
            )


def check_reach(clustered: list[Draft]) -> None:
    """Refuse what leaves float64 after scale and weight, where no distance would be a number any more."""
    for draft in clustered:
        if not draft.reach <= LARGEST_VALUE:
            raise DataError(
                f"column {draft.column.column} reaches beyond {LARGEST_VALUE:g} after scale and weight, where no "
                "float8 holds the squares: give it a smaller weight or another scale"
            )


def candidates(survey: Survey) -> list[list[str]]:
    """Of each one-hot feature the categories that may be frequent."""
    return [candidates_of(counts) for counts in survey.categories]


def drafted_columns(
    specs: Sequence[FeatureSpec],
    families: Sequence[FeatureFamily],
    survey: Survey,
    source: SourcePass,
    population: Population[Chunk],
) -> list[Draft]:
    """The columns of all features in the order of the configuration, none of them placed yet."""
    family_of = {spec.column: family for spec, family in zip(specs, families, strict=True)}
    drafts = {
        spec.column: onehot_drafts(spec, family_of[spec.column], names, counts, found.n_missing)
        for spec, names, counts, found in zip(
            onehot_specs(specs), candidates(survey), source.counts, survey.categories, strict=True
        )
    }
    for draft in number_drafts(specs, family_of, survey, source, population):
        drafts[draft.column.column] = [draft]
    n_columns = sum(len(group) for group in drafts.values())
    if n_columns > MOST_COLUMNS:
        raise ConfigurationError(
            f"the features make {n_columns} columns after one-hot encoding, and {MOST_COLUMNS} is the most: "
            "leave out a one-hot feature or group its categories in the source"
        )
    return [draft for spec in specs for draft in drafts[spec.column]]


def number_drafts(
    specs: Sequence[FeatureSpec],
    family_of: Mapping[str, FeatureFamily],
    survey: Survey,
    source: SourcePass,
    population: Population[Chunk],
) -> list[Draft]:
    """The numeric columns with their center, scale and origin."""
    sample = survey.sample.rows.numbers
    columns = zip(
        numeric_specs(specs),
        [family_of[spec.column] for spec in numeric_specs(specs)],
        zip(survey.minimum.tolist(), survey.maximum.tolist(), strict=True),
        survey.n_missing.tolist(),
        source.moments,
        sample.T,
        strict=True,
    )
    drafts = population.at_once(lambda column: number_draft(*column), [*columns])
    return with_transformed_moments(drafts, source, population)


def with_transformed_moments(drafts: list[Draft], source: SourcePass, population: Population[Chunk]) -> list[Draft]:
    """Scale the drafts. Only columns that clip, or that are standardised after log1p, need a pass of their own."""
    moments = [
        of_source.with_repeats(draft.column.impute_value or 0.0, draft.column.n_missing)
        for draft, of_source in zip(drafts, source.moments, strict=True)
    ]
    again = [index for index, draft in enumerate(drafts) if needs_pass(draft.column)]
    if again:
        columns = [(index, drafts[index].column) for index in again]
        exponents = [exponent_for(drafts[index].low, drafts[index].high) for index in again]
        result = population.reduce(partial(transformed_pass, columns, exponents))
        for index, found, n_clipped in zip(again, result.moments, result.n_clipped.tolist(), strict=True):
            moments[index] = found
            drafts[index] = replace(drafts[index], column=replace(drafts[index].column, n_clipped=n_clipped))
    return [scaled_draft(draft, found) for draft, found in zip(drafts, moments, strict=True)]


def needs_pass(column: ModelColumn) -> bool:
    clips = column.clip_low is not None or column.clip_high is not None
    return clips or (column.transform == "log1p" and column.scaling == "standard")


def place(drafts: list[Draft]) -> list[Draft]:
    """Number the columns that are clustered. Constant ones are not; if all are, the first is, and makes one segment."""
    varying = [index for index, draft in enumerate(drafts) if not draft.is_constant] or [0]
    positions = {index: position for position, index in enumerate(varying)}
    return [
        replace(draft, column=replace(draft.column, position=positions.get(index)))
        for index, draft in enumerate(drafts)
    ]


def constant_warnings(drafts: list[Draft], n_rows: int) -> list[str]:
    constant = {draft.column.column: draft.column.n_missing == n_rows for draft in drafts if draft.is_constant}
    return [
        f"column {name} {'has no value for any' if missing else 'is the same for every'} customer"
        " and was left out of the clustering"
        for name, missing in constant.items()
    ]


def unscaled_warnings(clustered: list[Draft]) -> list[str]:
    return [
        f"half of the customers have the same {draft.column.column}, so its interquartile range is 0 and "
        "scale: robust leaves it as it is"
        for draft in clustered
        if draft.column.scaling == "robust" and draft.quantiles[1] == draft.quantiles[3] and not draft.is_constant
    ]


def coarse_warnings(clustered: list[Draft], exponent: int) -> list[str]:
    """Say which features vanish in the steps of the grid, because some values reach far."""
    widest = max(clustered, key=lambda draft: draft.reach).column.column
    return [
        f"column {draft.column.column} keeps few digits: 90 % of its values lie within "
        f"{draft.spread / unit_of(exponent):.0f} steps of the grid because values of {widest} reach so far; "
        f"clip or log1p on {widest} helps"
        for draft in clustered
        if 0.0 < draft.spread < COARSE_STEPS * unit_of(exponent)
    ]
