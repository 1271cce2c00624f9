"""`segjob init`: a commented segjob.yaml from what the database has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer
import yaml
from sqlalchemy import Inspector, inspect
from sqlalchemy.types import BOOLEAN, UUID, BigInteger, Boolean, Date, DateTime, Float, Integer, Numeric, Text, Uuid
from sqlalchemy.types import String as StringType

from segjob.commands.database import open_place
from segjob.config import config_file, load_database
from segjob.config.fields import EMBEDDED
from segjob.errors import ConfigurationError
from segjob.spelling import nearest

KEY_TYPES = (Integer, BigInteger, Uuid, UUID, Text, StringType)
NUMBER_TYPES = (Integer, BigInteger, Numeric, Float, Boolean, BOOLEAN, Date, DateTime)
OURS = ("segments", "segjob")

TEMPLATE = """\
# The configuration of segjob. `segjob config-schema` explains every key; `segjob check` tells whether this works.
database:
  url: {url}
  # schema: segments              # what analysts see
  # private_schema: segjob        # what the job keeps
  # analysts: [bi_reader]         # roles that `segjob migrate` grants the views to

segmentations:
  {name}:
    source: {source}
    # where: "country = 'DE'"     # counts refer to the filtered source
    key: {key}
    features:
{features}
    # Skewed amounts cluster better as {{column: amount, transform: log1p}};
    # text columns come in as {{column: gender, encode: onehot}}.
{categories}    n_clusters: 5
    seed: 42
"""


@dataclass(frozen=True)
class Candidate:
    """A table or view that could hold customers."""

    schema: str
    name: str
    key: str | None
    numbers: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def source(self) -> str:
        return f"{self.schema}.{self.name}"


def init(path: Path | None, url: str | None, table: str | None, key: str | None, yes: bool) -> str:
    """Write the file and tell what to do next.

    Raises
    ------
    ConfigurationError
        The file exists, or the database has no such table or key.
    """
    path = config_file(path)
    refuse_existing(path)
    place = load_database(path, {"database": {"url": url}} if url else {})
    candidates = find_candidates(inspect(open_place(place).customers.engine))
    candidate = choose(candidates, table, yes)
    chosen_key = key or candidate.key or ask_key(candidate, yes)
    if chosen_key not in (candidate.key, *candidate.numbers, *candidate.texts):
        close = nearest(chosen_key, (*candidate.numbers, *candidate.texts))
        raise ConfigurationError(f"{candidate.source} has no column {chosen_key} that could be a key; {close}")
    write_new(path, render(candidate, chosen_key, place.embedded_dir))
    return f"wrote {path}; next: segjob migrate, segjob check, segjob run {segmentation_name(candidate)}"


def refuse_existing(path: Path) -> None:
    if path.exists():
        raise ConfigurationError(f"{path} exists; it is not overwritten")


def write_new(path: Path, content: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        refuse_existing(path)
    except OSError as error:
        raise ConfigurationError(f"can not write {path}: {error.strerror}") from error


def find_candidates(inspector: Inspector) -> list[Candidate]:
    """Tables and views with at least one column to cluster on, those with a usable key first."""
    found = []
    for schema in inspector.get_schema_names():
        if schema in OURS or schema == "information_schema" or schema.startswith("pg_"):
            continue
        names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        found += [candidate for name in sorted(names) if (candidate := describe(inspector, schema, name)).numbers]
    return sorted(found, key=lambda candidate: (candidate.key is None, -len(candidate.numbers)))


def describe(inspector: Inspector, schema: str, name: str) -> Candidate:
    """Sort the columns of a table into key, numbers and texts."""
    columns = inspector.get_columns(name, schema)
    primary = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    usable = [c["name"] for c in columns if isinstance(c["type"], KEY_TYPES)]
    key = primary[0] if len(primary) == 1 and primary[0] in usable else guess_key(usable)
    numbers = [c["name"] for c in columns if isinstance(c["type"], NUMBER_TYPES) and c["name"] != key]
    texts = [c["name"] for c in columns if isinstance(c["type"], StringType) and c["name"] != key]
    return Candidate(schema, name, key, tuple(numbers), tuple(texts))


def guess_key(usable: list[str]) -> str | None:
    """A view has no primary key, but often a column called like one."""
    return next((name for name in usable if name == "id" or name.endswith("_id")), None)


def choose(candidates: list[Candidate], table: str | None, yes: bool) -> Candidate:
    """The table that was named, or the one that is asked for."""
    if not candidates:
        raise ConfigurationError("the database has no table with a numeric column to cluster on")
    known = {candidate.source: candidate for candidate in candidates}
    if table is not None:
        matching = [c for c in candidates if table in (c.source, c.name)]
        if not matching:
            raise ConfigurationError(f"no table {table} to cluster on; {nearest(table, known)}")
        return matching[0]
    if yes or len(candidates) == 1:
        return candidates[0]
    typer.echo("Tables with columns to cluster on:", err=True)
    for candidate in candidates[:20]:
        typer.echo(f"  {candidate.source}  ({', '.join(candidate.numbers[:6])})", err=True)
    return choose(candidates, typer.prompt("Which one", default=candidates[0].source, err=True), yes)


def ask_key(candidate: Candidate, yes: bool) -> str:
    if yes:
        raise ConfigurationError(f"{candidate.source} has no obvious key; name one with --key")
    return str(typer.prompt("Which column identifies a customer", err=True))


def segmentation_name(candidate: Candidate) -> str:
    """The table's name, as a segmentation may be called."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in candidate.name.lower())
    return kept.lstrip("_0123456789")[:40] or "customers"


def render(candidate: Candidate, key: str, embedded: Path | None) -> str:
    """The text of the file. A URL may hold a password: it stays in the environment."""
    features = [name for name in candidate.numbers if name != key]
    categories = "".join(f"    #   - {{column: {scalar(n)}, encode: onehot}}\n" for n in candidate.texts if n != key)
    return TEMPLATE.format(
        url=scalar(f"{EMBEDDED}{embedded}") if embedded else "${DATABASE_URL}",
        name=segmentation_name(candidate),
        source=scalar(candidate.source),
        key=scalar(key),
        features="\n".join(f"      - {scalar(name)}" for name in features),
        categories=categories,
    )


def scalar(value: str) -> str:
    """A string as YAML writes it on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("...").strip()
