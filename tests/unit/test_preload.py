"""Torch's library is there before torch is, and torch works with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from segjob.preload import FOR_COMPILERS, TRIED
from tests.command import run_segjob

ROOT = Path(__file__).parents[2]

tried = pytest.mark.skipif(
    torch.__version__ not in TRIED, reason="only builds of torch that were tried are imported in part"
)

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

AHEAD = """
import sys, threading
from segjob import preload
from segjob.job.run import load_torch

loaded = threading.Event()
preload.load_library = loaded.wait
preload.preload_torch()
load_torch()
(importing,) = (thread for thread in threading.enumerate() if thread.name == "segjob-import")
importing.join(0.5)
print(importing.is_alive(), "torch" in sys.modules)
loaded.set()
importing.join()
print("torch" in sys.modules)
"""

ASKED = """
from segjob.preload import postpone
postpone()
import torch
waiting = torch._meta_registrations
print(hasattr(waiting, "__path__"), "device_hint" in vars(waiting))
from torch._meta_registrations import device_hint
print("device_hint" in vars(waiting), torch._meta_registrations is waiting, device_hint(torch.zeros(1)))
"""
UNTRIED = """
from segjob import preload
preload.TRIED = ()
preload.postpone()
import torch
print("device_hint" in vars(torch._meta_registrations))
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


def test_torch_is_imported_when_its_library_is_there():
    assert printed(AHEAD) == ["True", "False", "True"]


@tried
def test_what_torch_has_for_compilers_is_loaded_when_it_is_asked_for_a_name():
    assert printed(ASKED) == ["False", "False", "True", "True", "cpu"]


def test_a_build_of_torch_that_was_not_tried_is_imported_whole():
    assert printed(UNTRIED) == ["True"]


def test_the_torch_of_the_constraints_is_one_that_was_tried():
    (pinned,) = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    assert f"{pinned.removeprefix('torch==')}+cpu" in TRIED


@tried
def test_the_commands_of_all_other_tests_run_without_what_is_for_compilers(tmp_path):
    assert run_segjob(tmp_path, "", become=tell_whether_compilers_find_theirs).stdout == "False"


def tell_whether_compilers_find_theirs(
    folder: str, variables: dict[str, str], arguments: Sequence[str], streams: Sequence[str]
) -> None:
    Path(streams[1]).write_text(str("device_hint" in vars(sys.modules[FOR_COMPILERS])))
