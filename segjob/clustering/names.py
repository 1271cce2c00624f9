"""Names of segments, made of what sets them apart: `high monetary, low recency days`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjob.clustering.features import by_feature
from segjob.records.model import OTHER, ModelColumn

CLEAR = 0.5  # deviations from the mean of all, from which on a feature is high or low; Cohen's medium effect
STRONG = 2.0
SLIGHT = 0.2  # Cohen's small effect
USUAL_WORDS = 2  # features in a name, unless it takes more to tell two segments apart
LONGEST_CATEGORY = 40


@dataclass(frozen=True)
class Trait:
    """One feature of a segment in words, its place in the configuration, and how much it sets the segment apart."""

    words: str
    place: int
    strength: float


def segment_names(
    columns: Sequence[ModelColumn], apart: np.ndarray, segment_ids: Sequence[int], given: Mapping[int, str]
) -> tuple[str, ...]:
    """A name for each segment, the given one or one of our own; those of our own differ from all others.

    Parameters
    ----------
    columns : all columns of the model
    apart : (k, d) what `explain.differences` found
    given : names by id
    """
    if len(segment_ids) == 1:
        return (given.get(segment_ids[0], "all customers"),)
    placed = [column for column in columns if column.position is not None]
    traits = [traits_of(placed, row.tolist()) for row in apart]
    lengths = [min(USUAL_WORDS, sum(trait.strength >= CLEAR for trait in found)) for found in traits]
    while True:
        names = [
            given.get(segment_id) or name_of(found, length)
            for segment_id, found, length in zip(segment_ids, traits, lengths, strict=True)
        ]
        counts = Counter(names)
        short = [
            place
            for place, segment_id in enumerate(segment_ids)
            if segment_id not in given and counts[names[place]] > 1 and lengths[place] < len(traits[place])
        ]
        if not short:
            return numbered(names, [segment_id in given for segment_id in segment_ids])
        for place in short:
            lengths[place] += 1


def name_of(traits: Sequence[Trait], length: int) -> str:
    """The strongest traits: the clear ones as they are configured, so that small changes do not turn a name around."""
    clear = [trait for trait in traits[:length] if trait.strength >= CLEAR]
    words = [trait.words for trait in sorted(clear, key=lambda trait: trait.place)] or ["average customers"]
    return ", ".join([*words, *(trait.words for trait in traits[len(clear) : length])])


def numbered(names: Sequence[str], is_given: Sequence[bool]) -> tuple[str, ...]:
    """The same names, those of our own with a number where words do not tell them apart."""
    taken = {name for name, given in zip(names, is_given, strict=True) if given}
    found = []
    for name, given in zip(names, is_given, strict=True):
        candidate, number = name, 2
        while not given and candidate in taken:
            candidate, number = f"{name} {number}", number + 1
        taken.add(candidate)
        found.append(candidate)
    return tuple(found)


def traits_of(placed: Sequence[ModelColumn], apart: Sequence[float]) -> list[Trait]:
    """One trait for each feature of a segment, the strongest first, then in the order of the configuration."""
    found = dict(zip((column.feature for column in placed), apart, strict=True))
    traits = [
        trait_of(place, group, [found[column.feature] for column in group])
        for place, group in enumerate(by_feature(placed))
    ]
    return sorted(traits, key=lambda trait: -trait.strength)


def trait_of(place: int, group: Sequence[ModelColumn], apart: Sequence[float]) -> Trait:
    """The trait that a feature gives; of a one-hot feature the category that stands out, rather than one that lacks."""
    chosen = int(np.argmax(apart))
    if apart[chosen] < CLEAR:
        chosen = int(np.argmax(np.abs(apart)))
    return Trait(words_for(group[chosen], apart[chosen]), place, abs(apart[chosen]))


def words_for(column: ModelColumn, apart: float) -> str:
    words = words_of(column.column)
    if column.category is not None:
        return category_words(words, column.category, apart)
    if abs(apart) < SLIGHT:
        return f"typical {words}"
    degree = "very " if abs(apart) >= STRONG else "" if abs(apart) >= CLEAR else "slightly "
    if column.family == "boolean":
        return f"{degree.replace('very ', '')}{truth_words(words, apart > 0)}"
    if column.family in ("date", "timestamp"):
        return date_words(words, f"{degree}{'late' if apart > 0 else 'early'}")
    return f"{degree}{'high' if apart > 0 else 'low'} {words}"


def category_words(words: str, category: str, apart: float) -> str:
    if category in ("true", "false"):
        return truth_words(words, (category == "true") == (apart > 0))
    if category == OTHER:
        return f"{'other' if apart > 0 else 'usual'} {words}"
    shown = " ".join(category.split()) or "empty"
    shown = shown if len(shown) <= LONGEST_CATEGORY else f"{shown[: LONGEST_CATEGORY - 1]}…"
    return f"{words} {shown}" if apart > 0 else f"{words} not {shown}"


def truth_words(words: str, truth: bool) -> str:
    """`is active` and `not active`, `has card` and `no card`."""
    verb, _, rest = words.partition(" ")
    if rest and verb == "has":
        return words if truth else f"no {rest}"
    stem = rest if rest and verb == "is" else words
    return stem if truth else f"not {stem}"


def date_words(words: str, when: str) -> str:
    """`late signup` for signup_date, `signed up late` for signed_up_on."""
    stem, _, last = words.rpartition(" ")
    if stem and last in ("at", "on"):
        return f"{stem} {when}"
    return f"{when} {stem if stem and last in ('date', 'day', 'time', 'timestamp') else words}"


def words_of(name: str) -> str:
    """A column's name as people would write it: `annual_income` and `annualIncome` are annual income."""
    parts = re.sub(r"([a-z\d])([A-Z])", r"\1 \2", name).replace("_", " ").split()
    return " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts) or name
