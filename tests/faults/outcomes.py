"""What may come of a command: by itself, disturbed at some step, or with others in the middle of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations

from tests.faults.expected_shop import Command, Labels, Refused, Shop, Step, Steps


@dataclass(frozen=True)
class Outcome:
    """A shop, what is seen of it on the way, and the exit code of who left it; None if it came no further."""

    shop: Shop
    exit_code: int | None
    seen: tuple[Labels, ...]
    lasting: bool = False


def undisturbed(shop: Shop, make: Callable[[], Command], hindered: bool) -> Iterator[Outcome]:
    """What a command comes to; where it is hindered, what is optional may be left out."""
    for left_out in subsets(make().steps()) if hindered else (frozenset[int](),):
        yield take(shop, make().steps(), left_out)


def disturbed(shop: Shop, make: Callable[[], Command]) -> Iterator[Outcome]:
    """What is there when it came no further than to some step."""
    n_steps = len(make().steps())
    for n_taken in range(n_steps, -1, -1):
        rest = frozenset(range(n_taken, n_steps))
        for left_out in subsets(make().steps()[:n_taken]):
            yield take(shop, make().steps(), left_out | rest)


def interleaved(shop: Shop, outer: Callable[[], Command], inner: Callable[[], Sequence[Command]]) -> Iterator[Outcome]:
    """What it comes to when others do something in the middle of a command, all of it between two of its steps."""
    n_steps = len(outer().steps())
    for left_out in subsets([*outer().steps(), *all_steps(inner())]):
        for place in range(n_steps, -1, -1):
            steps, others = outer().steps(), all_steps(inner())
            kept = [one for number, one in enumerate(steps) if number not in left_out]
            n_before = sum(number not in left_out for number in range(place))
            meanwhile = [one for number, one in enumerate(others, n_steps) if number not in left_out]
            yield take(shop, [*kept[:n_before], *meanwhile, *kept[n_before:]], frozenset())


def subsets(steps: Steps) -> Iterator[frozenset[int]]:
    """Of those that are optional, the smaller first."""
    optional = [number for number, step in enumerate(steps) if step.optional]
    for size in range(len(optional) + 1):
        yield from map(frozenset, combinations(optional, size))


def all_steps(commands: Sequence[Command]) -> Steps:
    return [step for command in commands for step in by_somebody_else(command)]


def by_somebody_else(command: Command) -> Steps:
    """Whose being refused ends nothing but what they are at themselves."""
    refused: list[Refused] = []

    def unless_refused(take_step: Callable[[Shop], None]) -> Callable[[Shop], None]:
        def one(shop: Shop) -> None:
            try:
                if not refused:
                    take_step(shop)
            except Refused as refusal:
                refused.append(refusal)

        return one

    return [Step(unless_refused(step.take), step.optional) for step in command.steps()]


def take(shop: Shop, steps: Steps, left_out: frozenset[int]) -> Outcome:
    """Take the steps on a copy, until one refuses; only who leaves out nothing but what is optional is done."""
    shop = deepcopy(shop)
    seen = [shop.visible]
    try:
        for number, step in enumerate(steps):
            if number not in left_out:
                step.take(shop)
                seen.append(shop.visible)
    except Refused as refused:
        return Outcome(shop, refused.exit_code, tuple(seen))
    done = all(steps[number].optional for number in left_out)
    return Outcome(shop, 0 if done else None, tuple(seen), any(step.lasting for step in steps))
