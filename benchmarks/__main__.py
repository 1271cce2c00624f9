"""Benchmarks: whole processes against each other, on generated customers in a scratch Postgres.

    python -m benchmarks compare --rows 5000000 --features 7 --n-clusters 8
    python -m benchmarks promises
    python -m benchmarks growth --most-rows 10000000
    python -m benchmarks phases --rows 5000000
    python -m benchmarks first-query --rows 1000000
    python -m benchmarks history --rows 5000000
    python -m benchmarks assign
    python -m benchmarks score
    python -m benchmarks lookup
    python -m benchmarks ranges

The bundled Postgres runs with its default settings in a temporary directory; nothing is left behind. Besides, there are
`python -m benchmarks.memory` and `python -m benchmarks.startup`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.assign import print_assign
from benchmarks.contenders import CONTENDERS
from benchmarks.customers import KEYS, Customers
from benchmarks.first_query import print_first_query
from benchmarks.ground import Ground
from benchmarks.history import print_history
from benchmarks.lookup import print_lookup
from benchmarks.phases import print_phases
from benchmarks.printing import machine, print_comparison
from benchmarks.promises import PROMISES, measure_promises
from benchmarks.ranges import print_ranges
from benchmarks.rounds import Comparison, compare
from benchmarks.score import print_score
from benchmarks.server import Server, scratch_server

PANDAS_ROWS = 1_000_000
"""Larger tables are measured with pandas only when it is asked for: every million takes it another 40 seconds."""


def main() -> None:
    wanted = parser().parse_args()
    with scratch_server(wanted.directory) as server:
        print(machine(server))
        found = wanted.suite(server, wanted)
    if wanted.json:
        wanted.json.write_text(json.dumps([asdict(one) for one in found], indent=1))


def parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("benchmarks", description=__doc__, formatter_class=formatter)
    suites = top.add_subparsers(required=True, metavar="SUITE")
    one = suites.add_parser("compare", help="one table, the contenders interleaved round by round")
    one.set_defaults(suite=compare_one)
    add_table_options(one, rows=5_000_000)
    one.add_argument(
        "--contenders", choices=CONTENDERS, nargs="+", help="the default leaves pandas out of large tables"
    )
    one.add_argument("--with", choices=CONTENDERS, nargs="*", default=[], dest="besides", help="who runs besides")
    one.add_argument("--second-version", action="store_true", help="with a published parent and 10 %% changed")
    promises = suites.add_parser("promises", help="what segjob promises, the limit beside the measured")
    promises.set_defaults(suite=lambda server, given: measure_promises(server, given.only, given.times, given.memory))
    promises.add_argument("--only", choices=PROMISES, nargs="+", default=list(PROMISES))
    growth = suites.add_parser("growth", help="how the cost grows with rows, features and k")
    growth.set_defaults(suite=grow)
    growth.add_argument("--most-rows", type=int, default=10_000_000)
    phases = suites.add_parser("phases", help="who is busy in each phase of segjob, and what lies idle")
    phases.set_defaults(suite=tell_phases)
    add_table_options(phases, rows=5_000_000)
    phases.add_argument("--second-version", action="store_true", help="with a published parent and 10 %% changed")
    query = suites.add_parser("first-query", help="what the planner expects of the first query after publishing")
    query.set_defaults(suite=ask_first)
    add_table_options(query, rows=1_000_000)
    history = suites.add_parser("history", help="what a publication costs more when history is kept")
    history.set_defaults(suite=keep_history)
    history.add_argument("--rows", type=int, default=5_000_000)
    assign = suites.add_parser("assign", help="what a call of the model in SQL costs")
    assign.set_defaults(suite=call_assign)
    add_table_options(assign, rows=1_000_000, features=8)
    score = suites.add_parser("score", help="what `segjob score` costs when few customers changed")
    score.set_defaults(suite=score_few)
    add_table_options(score, rows=1_000_000)
    lookup = suites.add_parser("lookup", help="what it takes to find one customer in a long history")
    lookup.set_defaults(suite=look_up)
    add_table_options(lookup, rows=2_000_000, features=2)
    ranges = suites.add_parser("ranges", help="what it costs to have the number of segments chosen")
    ranges.set_defaults(suite=lambda server, given: print_ranges(server, given.rows, given.times, given.memory))
    ranges.add_argument("--rows", type=int, nargs="+", default=[20_000, 1_000_000, 5_000_000])
    for suite in suites.choices.values():
        add_common_options(suite)
    return top


def add_table_options(suite: argparse.ArgumentParser, rows: int, features: int = 7) -> None:
    suite.add_argument("--rows", type=int, default=rows)
    suite.add_argument("--features", type=int, default=features)
    suite.add_argument("--n-clusters", type=int, default=8)
    suite.add_argument("--key", choices=KEYS, default="bigint")
    suite.add_argument("--nulls", type=float, default=0.0, help="the share of every feature that is NULL, 0 to 1")


def add_common_options(suite: argparse.ArgumentParser) -> None:
    suite.add_argument("--times", type=int, default=3, help="rounds")
    suite.add_argument("--memory", default="1GiB", help="resources.memory of segjob")
    suite.add_argument("--directory", type=Path, help="keep the server here, so that its tables can be used again")
    suite.add_argument("--json", type=Path, help="write every measurement here")


def ground_of(server: Server, wanted: argparse.Namespace) -> Ground:
    changing = getattr(wanted, "second_version", False)
    customers = Customers(wanted.rows, wanted.features, wanted.key, wanted.nulls, changing)
    return Ground(server, customers, wanted.n_clusters, wanted.memory)


def contenders(wanted: argparse.Namespace) -> list[str]:
    chosen = wanted.contenders or ["segjob", "psql", "by-hand", *(["pandas"] if wanted.rows <= PANDAS_ROWS else [])]
    return list(dict.fromkeys([*chosen, *wanted.besides]))


def compare_one(server: Server, wanted: argparse.Namespace) -> Sequence[Comparison]:
    found = compare(ground_of(server, wanted), contenders(wanted), wanted.times)
    print_comparison(found)
    return [found]


def grow(server: Server, wanted: argparse.Namespace) -> Sequence[Comparison]:
    """Only this suite needs scipy."""
    from benchmarks.growth import measure_growth

    return measure_growth(server, wanted.most_rows, wanted.times, wanted.memory)


def ask_first(server: Server, wanted: argparse.Namespace) -> Sequence[Comparison]:
    """After a first version and after a second one, whose parent is still attached."""
    ground = ground_of(server, wanted)
    print_first_query(ground)
    print_first_query(replace(ground, customers=replace(ground.customers, changing=True)))
    return []


def keep_history(server: Server, wanted: argparse.Namespace) -> Sequence[Comparison]:
    print_history(server, wanted.rows, wanted.times)
    return []


def score_few(server: Server, wanted: argparse.Namespace) -> Sequence[Comparison]:
    print_score(ground_of(server, wanted), wanted.times)
    return []


def look_up(server: Server, wanted: argparse.Namespace) -> Sequence[Comparison]:
    print_lookup(ground_of(server, wanted))
    return []


def call_assign(server: Server, wanted: argparse.Namespace) -> Sequence[Comparison]:
    print_assign(ground_of(server, wanted))
    return []


def tell_phases(server: Server, wanted: argparse.Namespace) -> Sequence[Comparison]:
    print_phases(ground_of(server, wanted), len(os.sched_getaffinity(0)))
    return []


if __name__ == "__main__":
    main()
