"""A traceback tells where, and never what a customer's value was."""

from __future__ import annotations

import threading

import psycopg
import pytest

from segjob import console
from segjob.errors import DataError

CUSTOMER = "canary"


@pytest.fixture
def stray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", threading.excepthook)
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    console.tell_no_values_of_stray_errors()


def fail_over(value: str) -> None:
    try:
        raise psycopg.DataError(f"DETAIL: {value}")
    except psycopg.Error as error:
        raise DataError("the data can not be segmented") from error


@pytest.mark.parametrize("kind", [KeyError, ValueError, psycopg.Error, RuntimeError, Exception])
def test_the_words_of_others_are_left_out(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise kind(CUSTOMER)
    except kind as error:
        console.print_traceback(error)
    said = capsys.readouterr().err
    assert "canary" not in said
    assert f"{kind.__qualname__}: (its words are left out" in said
    assert "test_tracebacks.py" in said


def test_what_we_say_and_all_that_led_to_it_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        fail_over(CUSTOMER)
    except DataError as error:
        console.print_traceback(error)
    said = capsys.readouterr().err
    assert "psycopg.DataError: (its words are left out" in said
    assert "segjob.errors.DataError: the data can not be segmented" in said
    assert "canary" not in said


def test_what_speaks_of_the_program_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_traceback(AttributeError("'int' object has no attribute 'centers'"))
    console.print_traceback(FileNotFoundError(2, "No such file or directory", "sql/gone.sql"))
    said = capsys.readouterr().err
    assert "has no attribute 'centers'" in said
    assert "sql/gone.sql" in said


def test_an_error_that_nobody_catches_in_a_thread_is_named_and_not_quoted(
    stray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise LookupError(CUSTOMER)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    said = capsys.readouterr().err
    assert "LookupError" in said
    assert "canary" not in said
