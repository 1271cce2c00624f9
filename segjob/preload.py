"""The library of torch, brought into the process while Python still imports everything else.

Loading it takes a fifth of a second, in which `import torch` would keep every other thread from working. Called as a
function of the C library it does not, and a second core does the work. What Python has of torch is imported later.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

COMPILED = ("mmap", "numpy", "psycopg", "pyarrow.compute", "sqlalchemy")


def preload_torch() -> None:
    """Begin, and come back. Where it can not be done, `import torch` does it all, and says what is wrong.

    While a library is loaded no other can be, so those that are needed next are imported first. The process does not
    end before this has: a library is not to be left half loaded.
    """
    for name in COMPILED:
        import_module(name)
    Thread(target=load_library, name="segjob-preload").start()


def load_library() -> None:
    with suppress(AttributeError, ImportError, OSError, ValueError):
        found = find_spec("torch")
        for folder in (found and found.submodule_search_locations) or []:
            library = Path(folder, "lib", "libtorch_cpu.so")
            if library.is_file():
                ctypes.CDLL(None).dlopen(os.fsencode(library), os.RTLD_NOW)
