"""A shop whose customers change from month to month, with the groups that they are in truth.

One group wanders, one grows, one splits in two, one dies, one is born, and four small ones grow into one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psycopg

N_MONTHS = 13
SPLIT, DEATH, BIRTH, MERGER = 5, 7, 8, 9
SMALL = ("south-west", "south-east", "north-west", "north-east")

CREATE = "CREATE TABLE public.shop (customer_id bigint PRIMARY KEY, x float8 NOT NULL, y float8 NOT NULL)"


@dataclass(frozen=True)
class Month:
    """The customers (n,) of one month with where they are (n, 2), and the group of each."""

    ids: np.ndarray
    places: np.ndarray
    groups: np.ndarray

    @property
    def n_groups(self) -> int:
        return len(set(self.groups.tolist()))


def months() -> Iterator[Month]:
    """Customers keep their own deviation from their group's middle; some of it is new each month."""
    rng = np.random.default_rng(12)
    sizes = {"wanderer": 280, "steady": 240, "growing": 360, "parent": 360, "dying": 160, "born": 140}
    groups = np.repeat([*sizes, *SMALL], [*sizes.values(), *[100] * len(SMALL)])
    own, is_child = rng.normal(0, 0.4, (len(groups), 2)), rng.random(len(groups)) < 0.4
    joined = np.where(groups == "growing", rng.integers(0, 12, len(groups)), 0)
    for month in range(N_MONTHS):
        now = np.array([group_in(name, month, child) for name, child in zip(groups.tolist(), is_child, strict=True)])
        here = (joined <= month) & (now != "")
        middles = np.array([middle(name, month) for name in now[here].tolist()])
        home = np.array([corner(name, month) for name in groups[here].tolist()])
        places = middles + home + own[here] + rng.normal(0, 0.1, (int(here.sum()), 2))
        yield Month(np.flatnonzero(here), places, now[here])


def group_in(name: str, month: int, is_child: bool) -> str:
    """The group that somebody is in; empty for who is no customer."""
    if name == "parent" and is_child and month >= SPLIT:
        return "child"
    if name in SMALL and month >= MERGER:
        return "merged"
    absent = (name == "dying" and month >= DEATH) or (name == "born" and month < BIRTH)
    return "" if absent else name


def middle(name: str, month: int) -> tuple[float, float]:
    apart = 1.5 + 0.3 * (month - SPLIT) if month >= SPLIT else 0.0
    return {
        "wanderer": (0.0, 1.0 * month),  # in the end it stands near where another one died
        "steady": (6.0 + 0.2 * month, 0.0),
        "growing": (-8.0, -4.0),
        "parent": (16.0, -apart),
        "child": (16.0, apart),
        "dying": (0.0, 14.0),
        "born": (8.0, 9.0),
    }.get(name, (-11.0, 8.0))


def corner(name: str, month: int) -> tuple[float, float]:
    """Where the four small groups are about their common middle, ever nearer to it."""
    if name not in SMALL:
        return 0.0, 0.0
    reach = max(2.0 - 0.05 * month, 0.0) if month < MERGER else 0.4
    return (reach if "east" in name else -reach), (reach if "north" in name else -reach)


def fill(connection: psycopg.Connection, month: Month) -> None:
    """Make these the customers of the shop."""
    connection.execute("TRUNCATE public.shop")
    with connection.cursor() as cursor, cursor.copy("COPY public.shop FROM STDIN") as copy:
        for key, (x, y) in zip(month.ids.tolist(), month.places.tolist(), strict=True):
            copy.write_row((key, x, y))
