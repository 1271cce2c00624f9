"""Gates: what a version must pass before anyone sees it. Numbers in, verdicts out; nothing here asks a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segjob.records.version import GateResult, Verdict, Version

if TYPE_CHECKING:
    from segjob.config.segmentation import Gate, Gates
    from segjob.postgres.publishing.gates import Basis

LEAST = ("min_customers", "min_silhouette", "min_segment_share")
"""Gates that refuse under their bound; the others refuse from it on."""


@dataclass(frozen=True)
class Measured:
    """What the gates look at; None where there is nothing to measure, so that the gate is skipped."""

    min_customers: float | None = None
    max_volume_change: float | None = None
    min_silhouette: float | None = None
    min_segment_share: float | None = None
    max_label_churn: float | None = None


def measure(version: Version, published: Basis | None, label_churn: float | None) -> Measured:
    """Measure a version, beside the published one where the two speak of the same customers and features."""
    score, n_customers = version.silhouette, version.n_customers
    comparable = published is not None and published.scope_hash == version.scope_hash
    return Measured(
        min_customers=n_customers,
        max_volume_change=volume_change(n_customers, published.n_customers) if published and comparable else None,
        min_silhouette=score.value if score.method == "euclidean" else None,
        min_segment_share=min(segment.n_customers for segment in version.segments) / n_customers,
        max_label_churn=label_churn if comparable else None,
    )


def volume_change(n_customers: int, n_published: int) -> float:
    """|n / n_published - 1|, in one rounding: 120 against 100 is the 0.2 that a bound of 0.2 means."""
    return abs(n_customers - n_published) / n_published


def evaluate(gates: Gates, measured: Measured) -> tuple[GateResult, ...]:
    """The verdict of every gate that is switched on, in the order of the configuration."""
    found = ((name, getattr(gates, name)) for name in type(gates).model_fields)
    return tuple(verdict(name, gate, getattr(measured, name)) for name, gate in found if is_on(gate))


def is_on(gate: Gate | None) -> bool:
    return gate is not None and (gate.warn is not None or gate.refuse is not None)


def verdict(name: str, gate: Gate, value: float | None) -> GateResult:
    result: Verdict = "passed"
    if value is None:
        result = "skipped"
    elif beyond(name, value, gate.refuse):
        result = "refused"
    elif beyond(name, value, gate.warn):
        result = "warned"
    return GateResult(name, value, gate.warn, gate.refuse, result)


def beyond(name: str, value: float, bound: float | None) -> bool:
    if bound is None:
        return False
    return value < bound if name in LEAST else value >= bound


def refused(results: Iterable[GateResult]) -> bool:
    return any(result.result == "refused" for result in results)


def warnings(results: Sequence[GateResult]) -> list[str]:
    """A sentence for each gate that warned."""
    return [sentence(result, result.warn) for result in results if result.result == "warned"]


def refusals(results: Sequence[GateResult]) -> str:
    """What the gates that refused have measured."""
    return "; ".join(sentence(result, result.refuse) for result in results if result.result == "refused")


def sentence(result: GateResult, bound: float | None) -> str:
    """What was measured, and the bound that it is beyond."""
    done = "refuses" if result.result == "refused" else "warns"
    edge = "under" if result.gate in LEAST else "from"
    return f"gate {result.gate}: measured {written(result.value)}, {done} {edge} {written(bound)}"


def written(value: float | None) -> str:
    return "nothing" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
