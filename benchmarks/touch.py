"""Takes so much memory, writes to every page of it, and gives it back. A process of its own, like `launch.py`.

    python -I -S touch.py BYTES

A virtual machine has memory that its host has not given it yet, or has taken back because it lay idle. A page of that
costs who touches it first more than who touches it next.
"""

import mmap
import sys

BLOCK = b"\1" * 2**20


def main() -> None:
    with mmap.mmap(-1, int(sys.argv[1])) as memory:
        for begin in range(0, len(memory), len(BLOCK)):
            memory[begin : begin + len(BLOCK)] = BLOCK[: len(memory) - begin]


if __name__ == "__main__":
    main()
