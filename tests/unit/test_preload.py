"""Torch's library is there before torch is, and torch works with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRELOADED = """
import sys
from segjob.preload import load_library
load_library()
print("libtorch_cpu" in open("/proc/self/maps").read(), "torch" in sys.modules)
import torch
print(torch.arange(4.0).sum().item())
"""
WITHOUT_TORCH = """
import sys
from segjob import preload
preload.find_spec = lambda name: None
preload.load_library()
print("torch" in sys.modules)
"""
WAITING = """
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
import segjob.cli, segjob.config.loading
from segjob.preload import COMPILED

def compiled():
    suffixes = tuple(EXTENSION_SUFFIXES)
    return {name for name, module in sys.modules.items() if (getattr(module, "__file__", "") or "").endswith(suffixes)}

for name in COMPILED:
    import_module(name)
before = compiled()
import segjob.commands.run
print(*compiled() - before)
"""


def printed(program: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what is mapped")
def test_the_library_is_loaded_without_torch_and_torch_works_with_it():
    assert printed(PRELOADED) == ["True", "False", "6.0"]


def test_where_there_is_no_torch_nothing_happens():
    assert printed(WITHOUT_TORCH) == ["False"]


def test_a_run_waits_for_no_other_library_while_that_of_torch_is_loaded():
    assert printed(WAITING) == []
