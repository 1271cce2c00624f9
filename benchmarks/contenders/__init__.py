"""Who is measured: segjob, a single psql that computes nothing, a notebook with pandas, a program written by hand."""

from __future__ import annotations

from benchmarks.contenders.contender import Contender
from benchmarks.contenders.programs import ByHand, Pandas, PandasMulti
from benchmarks.contenders.psql import Psql
from benchmarks.contenders.segjob import Segjob

CONTENDERS: dict[str, type[Contender]] = {one.name: one for one in (Segjob, Psql, ByHand, Pandas, PandasMulti)}
