"""Publications made by hand: what a run does from the labels on, without the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy import ARRAY, BigInteger, Boolean, Double, Integer, Table, Text, insert
from sqlalchemy.dialects.postgresql import JSONB

from segjob.job.comparing import compared
from segjob.postgres.connecting.connect import Database
from segjob.postgres.migrate import Grants, migrate
from segjob.postgres.publishing.publish import Kind, Move, Published, attach, pointer_of, publish
from segjob.postgres.queries import Names
from segjob.postgres.shapes import Shape
from segjob.postgres.tables import segment, version
from segjob.postgres.writing.write import Part
from segjob.records.source import FeatureColumn, KeyColumn

Segments = Mapping[int, int | None]

KEYS = {
    "bigint": ((KeyColumn("id", "bigint", "integer"),), "{0}"),
    "uuid": ((KeyColumn("id", "uuid", "uuid"),), "md5('{0}')::uuid"),
    "text": ((KeyColumn("id", "text", "text"),), "'ä{0}'"),
    "varchar": ((KeyColumn("id", "character varying(5)", "text"),), "'a{0}'"),
    "composite": (
        (KeyColumn('Nr:"x" %s {y};', "text", "text"), KeyColumn("select", "smallint", "integer")),
        "'{0}', mod({0}, 2)",
    ),
}
BLANKS = {Text: "", Integer: 0, BigInteger: 0, Double: 0.0, Boolean: False, JSONB: [], ARRAY: []}
RUN = """
INSERT INTO segjob.run (segmentation, kind, program_version, config_hash) VALUES ('mall', 'run', '', '')
RETURNING run_id
"""


class Shop:
    """A segmentation whose labels are given, not computed."""

    def __init__(
        self, database: Database, connection: psycopg.Connection, kind: str = "bigint", grants: Grants | None = None
    ) -> None:
        self.database, self.connection, self.kind = database, connection, kind
        self.keys, self.key_values = KEYS[kind]
        self.names = Names(database.schemas, "mall")
        shape = Shape("mall", self.keys, (FeatureColumn("amount", "double precision", "number"),))
        migrate(database, [shape], grants or Grants())

    def part(self, version_id: int) -> Part:
        return Part(self.names, version_id, self.keys)

    def key(self, customer: int) -> str:
        """The values of a customer's key, as SQL."""
        return self.key_values.format(customer)

    def label(self, version_id: int, segments: Segments, carried: Segments | None = None) -> Part:
        """A version's table with these labels, as a run leaves it."""
        part = self.part(version_id)
        self.connection.execute(f"CREATE TABLE {part.table} (LIKE {part.names.label})".encode())
        keys = part.identifiers["keys"].replace("%", "%%")
        for customer, label in segments.items():
            values = f"{self.key(customer)}, {version_id}, %s, %s"
            statement = (
                f"INSERT INTO {part.table} ({keys}, version_id, segment_id, carried_segment_id) VALUES ({values})"
            )
            self.connection.execute(statement.encode(), [label, (carried or {}).get(customer)])
        keyed = f"ALTER TABLE {part.table} ADD PRIMARY KEY (version_id, {part.identifiers['keys']})"
        self.connection.execute(keyed.encode())
        self.connection.execute(f"ANALYZE {part.table}".encode())
        return part

    def store(
        self,
        version_id: int,
        segments: Segments,
        names: Mapping[int, str] | None = None,
        carried: Segments | None = None,
    ) -> Part:
        """A version with its labels; its segments are called `s1`, `s2` … if nothing else is said."""
        part = self.label(version_id, segments, carried)
        identity = {"segmentation": "mall", "version_id": version_id}
        with self.database.begin() as session:
            staged = {"run_id": self.new_run(), "status": "staged", "data_as_of": datetime.now(UTC)}
            session.execute(insert(version).values(blank(version) | identity | staged))
            for one, n in sorted(Counter(one for one in segments.values() if one is not None).items()):
                named = {"segment_id": one, "segment_name": (names or {}).get(one, f"s{one}"), "origin": "new"}
                session.execute(insert(segment).values(blank(segment) | identity | named | {"n_customers_now": n}))
        return part

    def new_run(self) -> int:
        row = self.connection.execute(RUN).fetchone()
        assert row is not None
        return int(row[0])

    def publish(self, version_id: int, kind: Kind = "run", *, history: bool = True, dies: bool = False) -> Published:
        """Move the pointer, as a run, publish or rollback does; or die when all is ready for it."""
        part, run_id = self.part(version_id), self.new_run()
        with self.database.begin() as session:
            pointer = pointer_of(session, "mall")
        before = pointer.version_id if pointer else None
        with compared(self.database, before, part, carried=False, history=history) as found:
            attach(self.database, part)
            kept = found.keep(self.database)
            if dies:
                raise ZeroDivisionError
            move = Move(part, kind, run_id, before, found.publication, begins_history=not kept)
            return publish(self.database, move, {})

    def as_of(self, moment: object) -> dict[str, tuple[int, str]]:
        """Who was where, by the text of the key."""
        rows = self.connection.execute("SELECT * FROM segments.mall_as_of(%s)", [moment]).fetchall()
        return {key_text(row[:-2]): row[-2:] for row in rows}

    def keyed(self, customer: int) -> str:
        """The text of a customer's key."""
        row = self.connection.execute(f"SELECT {self.key(customer)}".encode()).fetchone()
        assert row is not None
        return key_text(row)


def blank(table: Table) -> dict[str, Any]:
    """Nothing, 0 or empty for every column that must have a value; tests of the history look at few of them."""
    required = [column for column in table.columns if not column.nullable and column.server_default is None]
    return {column.name: BLANKS[type(column.type)] for column in required if type(column.type) in BLANKS}


def key_text(values: tuple[object, ...]) -> str:
    return "/".join(map(str, values))
