"""Every command that changes anything, broken at its first point, its second, its third, until it gets through.

`make test-faults` walks a choice in minutes, `make test-faults POINTS=all` every point with every fault. The table at
the end has the numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import choice
from tests.faults.choice import chosen, sliced
from tests.faults.points import Point
from tests.faults.scenarios import SCENARIOS
from tests.faults.walk import FAULTS, Case, Ground, Undisturbed

NOWHERE = Point("nowhere")


@pytest.fixture(scope="session")
def undisturbed(ground: Ground) -> Callable[[str], Undisturbed]:
    """What a scenario comes to without a fault; found out once."""
    known: dict[str, Undisturbed] = {}

    def found(name: str) -> Undisturbed:
        if name not in known:
            known[name] = ground.undisturbed(SCENARIOS[name])
        return known[name]

    return found


@pytest.mark.parametrize("number", range(choice.SLICES))
@pytest.mark.parametrize("fault", choice.FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_after_a_fault_at_any_point_everything_holds(
    ground: Ground,
    undisturbed: Callable[[str], Undisturbed],
    record_property: Callable[[str, object], None],
    scenario: str,
    fault: str,
    number: int,
) -> None:
    alone = undisturbed(scenario)
    broken = []
    for point in sliced(chosen(alone.points, scenario, fault), number):
        case = Case(ground, SCENARIOS[scenario], FAULTS[fault], point, alone)
        case.walk()
        record_property("walked", [scenario, point.place, fault, case.struck.reached, bool(case.broken)])
        broken += [case.report()] if case.broken else []
    assert not broken, "\n\n".join(broken)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_command_that_never_comes_to_its_point_gets_through(
    ground: Ground, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    case = Case(ground, SCENARIOS[scenario], FAULTS["SIGKILL"], NOWHERE, undisturbed(scenario))
    case.walk()
    assert (case.struck.reached, case.struck.code, case.broken) == (False, 0, [])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_found_out_undisturbed_does_not_contradict_itself(
    undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    alone = undisturbed(scenario)
    assert alone.ended.contradictions() == alone.began.contradictions() == []
    assert len(alone.points) == len(set(alone.points)) > 60
