"""What the libraries of this process are told before they are loaded: above all how many threads they may start.

As many as it has cores, however many the machine has.

Left alone, each takes every core that it sees. In a pod with a CPU limit on a large node that is dozens of threads, and
the kernel stops all of them for the rest of each tenth of a second in which they used up the limit.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from segjob.config.resources import available_cores

DECIDING = "OMP_NUM_THREADS"
VARIABLES = (  # each library reads its own when it is loaded
    DECIDING,  # torch's OpenMP, and Arrow's computing
    "MKL_NUM_THREADS",  # torch
    "OPENBLAS_NUM_THREADS",  # numpy
    "ARROW_IO_THREADS",
)
UNLESS_SET = {
    # OpenMP's threads spin while they wait for one another. When a neighbour, such as the server, has a core for a
    # moment, they use up the others, and a run takes several times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
    # numpy asks the system for pages of 2 MB. Our large arrays are filled once and soon given back; to find and clear
    # such pages for them takes longer than small pages do, several times where a virtual machine has to get them first.
    "NUMPY_MADVISE_HUGEPAGE": "0",
}


def threads(environment: MutableMapping[str, str] = os.environ, cores: int | None = None) -> int:
    """Return how many threads may compute at once: one a core, or fewer where OMP_NUM_THREADS says so."""
    return fewer(environment.get(DECIDING, ""), available_cores() if cores is None else cores)


def tell_libraries(environment: MutableMapping[str, str] = os.environ, cores: int | None = None) -> None:
    """Tell the libraries how many threads they may have, and what else is said before the first of them is loaded."""
    allowed = threads(environment, cores)
    environment.update({name: str(fewer(environment.get(name, ""), allowed)) for name in VARIABLES})
    for name, value in UNLESS_SET.items():
        environment.setdefault(name, value)


def fewer(asked: str, allowed: int) -> int:
    """What a variable asks for, if that is a number and less than what is allowed."""
    first = asked.partition(",")[0].strip()  # OpenMP takes a list, the outermost level first
    return min(int(first), allowed) if first.isdigit() and int(first) > 0 else allowed
