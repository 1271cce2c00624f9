"""Torch, brought into the process without keeping the run waiting.

Its library takes a fifth of a second, in which `import torch` would keep every other thread from working. Called as a
function of the C library it does not, and a second core does the work. What Python has of torch is imported later,
without two fifths that are for those who compile models: these are left until somebody asks for them.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

COMPILED = ("mmap", "numpy", "psycopg", "pyarrow.compute", "sqlalchemy")
LOADING = "segjob-preload"
FOR_COMPILERS = "torch._meta_registrations"
"""What shape the result of every operation has, for tensors that hold no numbers (docs/decisions/0019)."""
TRIED = ("2.13.0+cpu",)
"""Builds of torch of which all tests have passed without it; others are imported whole."""


def preload_torch() -> None:
    """Begin, and come back. Where it can not be done, `import torch` does it all, and says what is wrong.

    While a library is loaded no other can be, so those that are needed next are imported first. The process does not
    end before this has: a library is not to be left half loaded.
    """
    postpone()
    for name in COMPILED:
        import_module(name)
    threading.Thread(target=load_library, name=LOADING).start()


def wait_for_library() -> None:
    """Wait for what `preload_torch` began, if it did. Who imports torch meanwhile keeps everybody waiting, too."""
    for thread in threading.enumerate():
        if thread.name == LOADING:
            thread.join()


def load_library() -> None:
    with suppress(AttributeError, ImportError, OSError, ValueError):
        found = find_spec("torch")
        for folder in (found and found.submodule_search_locations) or []:
            library = Path(folder, "lib", "libtorch_cpu.so")
            if library.is_file():
                ctypes.CDLL(None).dlopen(os.fsencode(library), os.RTLD_NOW)


def postpone() -> None:
    """Leave what torch has for compilers until somebody asks for a name in it."""
    sys.meta_path.insert(0, Postponing())


class Postponing(MetaPathFinder):
    """Finds what is for compilers while torch is imported, with a loader that waits.

    `importlib.util.LazyLoader` would not wait: torch asks all modules there are for their `__file__`.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != FOR_COMPILERS or sys.modules["torch"].__version__ not in TRIED:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = WhenAsked(found.loader)
        return found


class WhenAsked(Loader):
    """Loads a module when the first name is asked of it (PEP 562)."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def exec_module(self, module: ModuleType) -> None:
        def load_and_ask_again(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            del module.__dict__["__getattr__"]
            self.loader.exec_module(module)
            return getattr(module, name)

        module.__dict__["__getattr__"] = load_and_ask_again
