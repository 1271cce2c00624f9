"""The runtime SQL: named statements in files under `sql/`, read once, with identifiers filled in where they vary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from segjob.postgres.connecting.connect import Schemas
from segjob.shipped import sql_dir

if TYPE_CHECKING:
    from sqlalchemy import Connection, TextClause

FILES = (
    "assign.sql",
    "history.sql",
    "listing.sql",
    "reading.sql",
    "retention.sql",
    "runtime.sql",
    "scoring.sql",
    "segmentation.sql",
)

VIEW_SUFFIXES = ("", "_profile", "_centroid", "_segment", "_unlabelled", "_history", "$moves", "$names")


@dataclass(frozen=True)
class Statement:
    """One named statement, or several that belong together, with the comment that describes it."""

    name: str
    description: str
    sql: str


@cache
def statements() -> dict[str, Statement]:
    """Every statement of every file, by name."""
    found = [parse(block) for name in FILES for block in blocks((sql_dir() / name).read_text())]
    return {statement.name: statement for statement in found}


def blocks(script: str) -> list[str]:
    return script.split("-- name: ")[1:]


def parse(block: str) -> Statement:
    name, _, body = block.partition("\n")
    lines = body.strip().splitlines()
    described = [line for line in lines if line.startswith("--")]
    sql = "\n".join(line for line in lines if not line.startswith("--"))
    return Statement(name.strip(), " ".join(line.removeprefix("--").strip() for line in described), sql)


def sql(name: str, /, **identifiers: str) -> list[str]:
    """The statements called `name`, with `{identifiers}` (already quoted) in their places."""
    templates = re.split(r";\s*\n", statements()[name].sql)  # before filling in: a name may hold anything
    return [template.strip().format(**identifiers) for template in templates]


def query(name: str, /, **identifiers: str) -> TextClause:
    """The one statement called `name`, to be executed with bound parameters."""
    from sqlalchemy import text

    (statement,) = sql(name, **identifiers)
    return text(statement)


def driver_query(name: str, /, **identifiers: str) -> bytes:
    """The same for the driver itself, which takes bytes for a text that nobody composed at run time."""
    (statement,) = sql(name, **identifiers)
    return statement.encode()


def execute(connection: Connection, name: str, /, **identifiers: str) -> None:
    """Execute the statements called `name` one after the other; none of them has parameters."""
    from sqlalchemy import text

    for statement in sql(name, **identifiers):
        connection.execute(text(escaped(statement)))


def escaped(filled_in: str) -> str:
    """A name or a statement for SQLAlchemy: a colon in a name is no parameter."""
    return filled_in.replace(":", "\\:")


def quote(identifier: str) -> str:
    """Quote an identifier, always, so that what is printed looks the same for `mall` and for `Mall`."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quote a string as a literal; standard_conforming_strings is on."""
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True)
class Names:
    """The quoted names of everything that belongs to one segmentation."""

    schemas: Schemas
    segmentation: str

    @property
    def label(self) -> str:
        return f"{quote(self.schemas.private)}.{quote(f'label_{self.segmentation}')}"

    @property
    def part_prefix(self) -> str:
        """`$` can not be in a segmentation's name, so `mall$1` is no segmentation."""
        return f"label_{self.segmentation}$"

    def part(self, version_id: int) -> str:
        return f"{quote(self.schemas.private)}.{quote(f'{self.part_prefix}{version_id}')}"

    def scratch(self, purpose: str) -> str:
        """What is labelled between fits; neither a version nor, as `#` can not be in a name, a segmentation."""
        return f"{quote(self.schemas.private)}.{quote(f'label_{self.segmentation}#{purpose}')}"

    @property
    def sample(self) -> str:
        """The customers of every segmentation that are kept for reports."""
        return f"{quote(self.schemas.private)}.sample_row"

    @property
    def membership(self) -> str:
        return f"{quote(self.schemas.private)}.{quote(f'membership_{self.segmentation}')}"

    @property
    def moves(self) -> str:
        """What is compared just now; a piece of the membership table if it is kept."""
        return f"{quote(self.schemas.private)}.{quote(f'{self.piece_prefix}moves')}"

    @property
    def piece_prefix(self) -> str:
        return f"membership_{self.segmentation}$"

    def piece(self, publication: int) -> str:
        return f"{quote(self.schemas.private)}.{quote(f'{self.piece_prefix}{publication}')}"

    def view(self, suffix: str = "") -> str:
        return f"{quote(self.schemas.public)}.{quote(self.segmentation + suffix)}"

    @property
    def assign(self) -> str:
        """The functions that analysts call; they differ by their parameters."""
        return self.view("_assign")

    @property
    def placed(self) -> str:
        """The function that tells how a customer lies."""
        return f"{quote(self.schemas.private)}.{quote(f'placed_{self.segmentation}')}"

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(self.view(suffix) for suffix in VIEW_SUFFIXES)

    @property
    def functions(self) -> tuple[str, ...]:
        return (f"{self.view('_as_of')}(timestamptz)",)

    def identifiers(self) -> dict[str, str]:
        """What the statements of one segmentation call their objects."""
        return {
            "private": quote(self.schemas.private),
            "public": quote(self.schemas.public),
            "name": literal(self.segmentation),
            "plain_name": self.segmentation,
            "label": self.label,
            "view": self.view(),
            "view_profile": self.view("_profile"),
            "view_centroid": self.view("_centroid"),
            "view_segment": self.view("_segment"),
            "view_unlabelled": self.view("_unlabelled"),
            "membership": self.membership,
            "moves": self.moves,
            "view_history": self.view("_history"),
            "view_moves": self.view("$moves"),
            "view_names": self.view("$names"),
            "as_of": self.view("_as_of"),
        }
