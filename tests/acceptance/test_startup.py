"""Commands that compute nothing answer at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "--help"), ("config-schema",), ("versions", "mall"), ("status",), ("show", "mall")],
    ids=" ".join,
)
def test_it_answers_in_under_seven_tenths_of_a_second_without_torch(
    arguments: tuple[str, ...], mall_project: str, succeed: Callable[..., str], segjob: Segjob
) -> None:
    if "show" in arguments:
        succeed("run", "mall")
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        assert segjob(*arguments).returncode == 0
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.7


@pytest.mark.parametrize("module", ["segjob.cli", "segjob.commands.listing", "segjob.commands.show", "segjob.config"])
def test_torch_is_not_loaded_on_the_way(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
