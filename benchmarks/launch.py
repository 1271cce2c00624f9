"""Runs one command and writes down what it took. Kept apart, and small, because a process is born with the peak
memory of its parent: behind this one, the command's own figure begins at a few megabytes.

    python -I -S launch.py REPORT COMMAND …
"""

import json
import os
import sys
import time


def main() -> None:
    report, *command = sys.argv[1:]
    began = time.monotonic()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)  # with the children that it has waited for
    spent = {
        "wall": time.monotonic() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "exit_code": os.waitstatus_to_exitcode(status),
    }
    with open(report, "w") as file:
        json.dump(spent, file)


if __name__ == "__main__":
    main()
