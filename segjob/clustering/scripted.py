"""Functions that torch runs from end to end, while other threads have the interpreter.

Whoever calls torch gives the interpreter's lock away and takes it back, at every call. Two threads that make a hundred
short calls for each chunk spend half of their time waiting for it; if all of that is one call, they do not wait.
TorchScript can do that, and is deprecated (docs/decisions/0021-kernels-in-torchscript.md). Where torch has it no more,
such a function runs as what it is, Python, and returns the same bits.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")
GONE = (AttributeError, KeyError, OSError, RuntimeError, TypeError)
"""What says that a function can not be compiled: no `torch.jit`, no source, or an error of the compiler."""

WITHOUT_CAUSE = re.compile(r"failed in the TorchScript interpreter(?!.*^[\w.]+: )", re.DOTALL | re.MULTILINE)
"""How an error in a function reads where memory gave out while it was told: its last line, the cause, is missing."""

SLOWER = "this build of torch does not compile our kernels, so that a fit may take twice as long; it finds the same"


def scripted(function: Callable[P, T]) -> Callable[P, T]:
    """The function, compiled with all that it calls, or itself where that can not be.

    It has to be in the part of Python that TorchScript knows: typed arguments, and no globals but functions and named
    tuples.
    """
    try:
        compiled, optimized = compile_quietly(function), vars(torch.jit)["optimized_execution"]
    except GONE:
        return function

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with optimized(False):  # it would watch the first calls for 40 ms, and gain nothing
                found: T = compiled(*args, **kwargs)
        except RuntimeError as error:
            if WITHOUT_CAUSE.search(str(error)):
                raise MemoryError("torch had no memory left to say of what") from error
            raise
        return found

    return run


def is_compiled(function: Callable[..., Any]) -> bool:
    """Whether torch runs what `scripted` gave; a fit says `SLOWER` where it does not."""
    return inspect.unwrap(function) is not function


def compile_quietly(function: Callable[..., Any]) -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        compiled: Callable[..., Any] = torch.jit.script(function)
    return compiled
