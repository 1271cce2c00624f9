"""What a segmentation should look like after any sequence of commands: its versions, the pointer, who is labelled how.

A command is a list of steps, each of which happens at once or not at all. Who is disturbed has taken the first few of
them; what somebody else does meanwhile happens between two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Labels: TypeAlias = dict[int, int | None]  # of each customer the corner, None for who lacks a value
Stored: TypeAlias = tuple[dict[int, tuple[Any, ...]], list[tuple[str, int, Labels]]]

KEEP_VERSIONS = 3
MAX_VOLUME_CHANGE = 0.5


class Refused(Exception):
    """What a command says no with; the text is the exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@dataclass
class Version:
    """`labels` is None once they are pruned; `n_customers` had a segment when it was fitted."""

    parent: int | None
    status: str
    gated: bool
    n_customers: int
    labels: Labels | None
    n_published_before: int = 0
    refused: bool = False


@dataclass
class Publication:
    """What was visible from then on."""

    kind: str
    version_id: int
    labels: Labels


@dataclass
class Shop:
    """The source and all that is stored of it.

    Attributes
    ----------
    touched : customers whom `score` labelled while a fit is at work
    unfinished : versions that nobody published and whose run is known not to have ended well
    hanging : those whose run has not ended, or died and was not missed yet
    """

    source: Labels
    versions: dict[int, Version] = field(default_factory=dict)
    log: list[Publication] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    unfinished: set[int] = field(default_factory=set)
    hanging: set[int] = field(default_factory=set)

    @property
    def pointer(self) -> int | None:
        return self.log[-1].version_id if self.log else None

    @property
    def stored(self) -> Stored:
        """All of it that can be looked up."""
        versions = {
            number: (one.parent, one.status, one.gated, one.n_customers, one.labels)
            for number, one in self.versions.items()
        }
        return versions, [(one.kind, one.version_id, labelled(one.labels)) for one in self.log]

    @property
    def visible(self) -> Labels:
        """What an analyst sees."""
        version = self.versions[self.pointer] if self.pointer else None
        return labelled(version.labels or {}) if version else {}

    def before(self) -> int | None:
        """Where a rollback goes: one takes back what was published since its version was."""
        shown: list[int] = []
        for one in self.log:
            if one.kind == "rollback" and one.version_id in shown:
                while shown[-1] != one.version_id:
                    shown.pop()
            elif shown[-1:] != [one.version_id]:
                shown.append(one.version_id)
        left = [one for one in shown[:-1] if one != self.pointer and self.versions[one].status != "pruned"]
        return left[-1] if left else None

    def surplus(self) -> list[int]:
        """Versions that are to lose their labels, the oldest first."""
        newest = sorted((number for number, one in self.versions.items() if one.status != "pruned"), reverse=True)
        shown = {one for one in (self.pointer, self.before()) if one}
        kept = [one for one in newest if one not in self.unfinished or one > max(shown, default=0)][:KEEP_VERSIONS]
        return [one for one in reversed(newest) if one not in {*shown, *kept}]

    def is_overtaken(self, number: int) -> bool:
        """Whether a run left it unfinished, and what it can not know was published since it read the source."""
        version = self.versions[number]
        since = {one.version_id for one in self.log[version.n_published_before :] if one.kind != "score"}
        return number in self.unfinished and any(one > (version.parent or 0) for one in since - {number})


@dataclass(frozen=True)
class Step:
    """Something that happens at once. What is optional may be left out where somebody is in the way.

    What is lasting goes on as long as somebody still reads what was there before.
    """

    take: Callable[[Shop], None]
    optional: bool = False
    lasting: bool = False


Steps: TypeAlias = list[Step]


def labelled(labels: Labels) -> Labels:
    return {customer: site for customer, site in labels.items() if site is not None}


# The commands


class Fit:
    """`segjob run`."""

    def __init__(self, publish: bool) -> None:
        self.publish = publish
        self.snapshot: Labels = {}
        self.parent: int | None = None
        self.number = 0
        self.n_published_before = 0

    def steps(self) -> Steps:
        taken = [self.begin, self.read, self.align, self.store, self.catch_up, self.judge, self.conclude]
        return [*map(Step, taken), *prunes(self.is_published)]

    def is_published(self, shop: Shop) -> bool:
        return shop.pointer == self.number

    def begin(self, shop: Shop) -> None:
        shop.touched.clear()
        shop.unfinished |= shop.hanging
        shop.hanging.clear()

    def read(self, shop: Shop) -> None:
        self.snapshot = dict(shop.source)
        self.n_published_before = len(shop.log)

    def align(self, shop: Shop) -> None:
        self.parent = shop.pointer

    def store(self, shop: Shop) -> None:
        self.number = max(shop.versions, default=0) + 1
        n_customers = len(labelled(self.snapshot))
        born = self.n_published_before
        shop.versions[self.number] = Version(self.parent, "staged", False, n_customers, self.snapshot, born)
        shop.hanging.add(self.number)

    def catch_up(self, shop: Shop) -> None:
        if self.publish and shop.pointer != self.parent:
            raise Refused(75)
        labels = self.snapshot
        for customer in shop.touched:
            labels.pop(customer, None)
            if customer in shop.source:
                labels[customer] = shop.source[customer]

    def judge(self, shop: Shop) -> None:
        version = shop.versions[self.number]
        version.gated = True
        if self.parent:
            published = shop.versions[self.parent].n_customers
            version.refused = abs(version.n_customers - published) / published >= MAX_VOLUME_CHANGE

    def conclude(self, shop: Shop) -> None:
        shop.hanging.discard(self.number)
        if shop.versions[self.number].refused:
            shop.versions[self.number].status = "rejected"
            raise Refused(3)
        if self.publish:
            move_pointer(shop, "run", self.number)


class Score:
    """`segjob score`."""

    def __init__(self) -> None:
        self.snapshot: Labels = {}
        self.number: int | None = None

    def steps(self) -> Steps:
        return [Step(self.look), Step(self.read), Step(self.change)]

    def at_once(self, shop: Shop) -> None:
        for step in self.steps():
            step.take(shop)

    def look(self, shop: Shop) -> None:
        if shop.pointer is None:
            raise Refused(65)
        self.number = shop.pointer

    def read(self, shop: Shop) -> None:
        self.snapshot = dict(shop.source)

    def change(self, shop: Shop) -> None:
        if shop.pointer != self.number or self.number is None:
            raise Refused(75)
        before = shop.versions[self.number].labels or {}
        changed = {one for one in {*before, *self.snapshot} if differs(before, self.snapshot, one)}
        moved = labelled(before) != labelled(self.snapshot)
        shop.versions[self.number].labels = dict(self.snapshot)
        shop.touched |= changed
        if moved:
            shop.log.append(Publication("score", self.number, dict(self.snapshot)))


class Republish:
    """`segjob publish` and `segjob rollback`."""

    def __init__(self, number: int | None, force: bool = False) -> None:
        self.number = number
        self.kind = "publish" if number else "rollback"
        self.force = force
        self.seen: int | None = None

    def steps(self) -> Steps:
        after = [Step(Score().at_once, optional=True)] if self.kind == "rollback" else []
        return [Step(self.look), Step(self.move), *prunes(), *after]

    def look(self, shop: Shop) -> None:
        self.seen = shop.pointer

    def move(self, shop: Shop) -> None:
        number = self.number or shop.before()
        if number not in shop.versions:
            raise Refused(65)
        if self.seen != shop.pointer:
            raise Refused(75)
        if number == shop.pointer:
            raise Refused(0)
        version = shop.versions[number]
        if version.labels is None:
            raise Refused(65)
        if shop.is_overtaken(number):
            raise Refused(65)
        if not self.force and (version.status == "rejected" or version.refused or not version.gated):
            raise Refused(3)
        move_pointer(shop, self.kind, number)


@dataclass(frozen=True)
class Forget:
    customers: tuple[int, ...]

    def steps(self) -> Steps:
        return [Step(self.erase), Step(self.scrub, lasting=True)]

    def erase(self, shop: Shop) -> None:
        kept = [*(one.labels for one in shop.versions.values()), *(one.labels for one in shop.log)]
        for labels in filter(None, kept):
            for customer in self.customers:
                labels.pop(customer, None)

    def scrub(self, shop: Shop) -> None:
        """What is left of the rows on disk goes as well."""


class Prune:
    """`segjob prune`."""

    def steps(self) -> Steps:
        return [*prunes(), Step(self.tell)]

    def tell(self, shop: Shop) -> None:
        """What was done is on the run."""


@dataclass(frozen=True)
class Rewrite:
    """Somebody writes to the source."""

    source: Labels

    def steps(self) -> Steps:
        return [Step(lambda shop: setattr(shop, "source", dict(self.source)))]


Command: TypeAlias = Fit | Score | Republish | Forget | Prune | Rewrite


def prunes(wanted: Callable[[Shop], bool] | None = None) -> Steps:
    """One version after the other."""
    chosen: list[int] = []

    def choose(shop: Shop) -> None:
        chosen.extend(shop.surplus() if wanted is None or wanted(shop) else [])

    def drop(place: int) -> Callable[[Shop], None]:
        def one(shop: Shop) -> None:
            if place < len(chosen) and chosen[place] in shop.surplus():
                shop.versions[chosen[place]].labels = None
                shop.versions[chosen[place]].status = "pruned"

        return one

    return [Step(choose, optional=True), *(Step(drop(place), optional=True) for place in range(4))]


def move_pointer(shop: Shop, kind: str, number: int) -> None:
    if shop.pointer:
        shop.versions[shop.pointer].status = "superseded"
    shop.versions[number].status = "published"
    shop.unfinished.discard(number)
    shop.hanging.discard(number)
    shop.log.append(Publication(kind, number, dict(shop.versions[number].labels or {})))


def differs(before: Labels, after: Labels, customer: int) -> bool:
    return (customer in before, before.get(customer)) != (customer in after, after.get(customer))
