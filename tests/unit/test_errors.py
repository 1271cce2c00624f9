"""What an error means that nobody raised on purpose."""

from __future__ import annotations

import pytest

from segjob.errors import InternalError, OutOfMemory, unexpected


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"),
        ImportError("libtorch_python.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=["python", "a thread", "C++", "torch", "a library", "the system"],
)
def test_memory_that_is_refused_is_told_however_it_is_said(error: Exception) -> None:
    told = unexpected(error)
    assert (type(told), told.exit_code, told.retryable) == (OutOfMemory, 70, False)
    assert "let it have more" in str(told)


def test_anything_else_is_a_bug_and_its_words_are_not_repeated() -> None:
    told = unexpected(ValueError("customer 4711"))
    assert type(told) is InternalError
    assert str(told) == "internal error: ValueError; run again with --debug for the traceback"
