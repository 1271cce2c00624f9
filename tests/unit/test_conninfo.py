"""A URL that libpq would misread is refused before libpq sees it, and nothing of its password is said."""

from __future__ import annotations

import pytest

from segjob.errors import ConfigurationError, DatabaseUnavailable
from segjob.postgres.connecting.connect import Database
from segjob.postgres.connecting.conninfo import refuse_misread

FORMS = (
    "postgresql://u:{}@/db?host=127.0.0.1&port=1",
    "postgresql://u:{}@127.0.0.1:1/db",
    "postgresql://u:{}@[::1]:1/db?sslmode=disable",
    "postgresql://127.0.0.1:1/db?user=u&password={}",
    "postgresql://u:{}@127.0.0.1:1/db?sslmode=bogus",
    "postgresql://u:{}@127.0.0.1:a/db",
)
BETWEEN = ("@", "/", "%zz", ":", "?", "#", " ", "&", "[", "]", ",", "\n", "%00", "'", "=", '"', "\\", "://")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("character", BETWEEN)
def test_no_character_of_a_password_lets_a_part_of_it_out(form: str, character: str) -> None:
    for password in (f"canary{character}yranac", f"{character}yranac", f"canary{character}"):
        with pytest.raises((ConfigurationError, DatabaseUnavailable)) as raised:
            Database(form.format(password), deadline=0.01).open()
        assert "canary" not in str(raised.value)
        assert "yranac" not in str(raised.value)
        assert "canary" not in repr(Database(form.format(password)))


@pytest.mark.parametrize("password", ["p@ss", "p/ss", "p%ss", "p ss"])
def test_a_character_that_has_to_be_encoded_is_refused_with_the_way_out(password: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^database\.url .*write %40 for @"):
        refuse_misread(f"postgresql://u:{password}@h/db")


def test_an_option_that_is_misspelt_gets_the_nearest_one() -> None:
    with pytest.raises(ConfigurationError, match="did you mean sslmode"):
        refuse_misread("postgresql://u@h/db?sslmod=verify-full")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql:///db?host=/run/postgresql",
        "postgresql://u%40cloud:p%40s%2Fs@h:5432/db",
        "postgresql://u:p@one:1,two:2/db?target_session_attrs=read-write",
        "postgresql://u@[::1]/db",
        "postgresql://h/a%40b",
        "postgresql://?service=shop",
        "postgresql://h?user=u@cloud",
    ],
)
def test_what_libpq_reads_as_it_was_meant_passes(url: str) -> None:
    refuse_misread(url)
