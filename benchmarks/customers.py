"""Generated customers: the same at every call, made by the server alone.

Every value comes from a hash of the customer's number, so no order of execution and no seed of a session matters.
The customers are twelve overlapping blobs of unequal sizes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import psycopg

N_BLOBS = 12
SPREAD = 8.0  # how far apart the blobs lie, all features together, in standard deviations of one blob
KEYS = {
    "bigint": "i",
    "int": "i::integer",
    "uuid": "md5(i::text)::uuid",
    "text": "'customer-' || i",
}
"""The types of the key, and the key of customer number i. A uuid is in no order, the others grow with i."""

# OFFSET 0 keeps the planner from computing the hash and the blob again for every feature. The blobs' shares are those
# of sqrt(b / 12): the first has 29 % of the customers, the last 4 %.
FILL = """
CREATE TABLE {table} AS
SELECT {key} AS customer_id, {features}
FROM (
    SELECT i, 1 + floor({n_blobs} * power((hashint8extended(i, 0) & 1048575) / 1048576.0::float8, 2))::integer AS blob
    FROM generate_series(1::bigint, {rows}) AS i
    OFFSET 0
) AS drawn
"""
HASH = "hashint8extended(i, {seed})"
# Three times 16 bits of one hash: nearly a bell, with a standard deviation of 1. The last 16 bits decide on NULL.
NOISE = "(({hash} & 65535) + (({hash} >> 16) & 65535) + (({hash} >> 32) & 65535)) / 32768.0::float8 - 3"
MISSING = "CASE WHEN (({hash} >> 48) & 65535) >= {threshold} THEN {value} END"


@dataclass(frozen=True)
class Customers:
    """A table of customers, by all that decides how long it takes to segment them.

    Those of a `changing` table have a published version, and then a tenth of them changes, before they are measured.
    """

    rows: int
    features: int = 7
    key: str = "bigint"
    nulls: float = 0.0
    changing: bool = False

    @property
    def table(self) -> str:
        kind = "changing" if self.changing else "customer"
        return f"public.{kind}_{self.rows}_{self.features}_{self.key}_{round(self.nulls * 1000)}"

    @property
    def feature_names(self) -> list[str]:
        return [f"f{j}" for j in range(self.features)]

    def __str__(self) -> str:
        nulls = f", {self.nulls:.0%} NULL" if self.nulls else ""
        changing = ", second version, a tenth changed" if self.changing else ""
        return f"{self.rows:,} customers x {self.features}, {self.key} key{nulls}{changing}"


def make(connection: psycopg.Connection, customers: Customers) -> None:
    """Make the table if it is not there, with its key and its statistics, and read it once so that it lies in memory.

    The connection commits every statement by itself.
    """
    if customers.changing:
        drop(connection, customers)
    if not exists(connection, customers.table):
        for statement in (
            fill(customers),
            f"ALTER TABLE {customers.table} ADD PRIMARY KEY (customer_id)",
            f"VACUUM (ANALYZE) {customers.table}",
        ):
            connection.execute(statement.encode())
    connection.execute(f"SELECT count({customers.feature_names[-1]}) FROM {customers.table}".encode())


def drop(connection: psycopg.Connection, customers: Customers) -> None:
    connection.execute(f"DROP TABLE IF EXISTS {customers.table}".encode())


def exists(connection: psycopg.Connection, table: str) -> bool:
    found = connection.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(found and found[0])


def fill(customers: Customers) -> str:
    """The statement that makes the rows."""
    features = (f"{feature(customers, j)} AS f{j}" for j in range(customers.features))
    return FILL.format(
        table=customers.table,
        key=KEYS[customers.key],
        features=", ".join(features),
        n_blobs=N_BLOBS,
        rows=customers.rows,
    )


def feature(customers: Customers, j: int) -> str:
    """One feature of customer i: the place of its blob, and noise."""
    hashed = HASH.format(seed=j + 1)
    value = f"(ARRAY{places(customers.features, j)}::float8[])[blob] + {NOISE.format(hash=hashed)}"
    if not customers.nulls:
        return value
    return MISSING.format(hash=hashed, threshold=round(customers.nulls * 65536), value=value)


def places(n_features: int, j: int) -> list[float]:
    """Where the blobs lie along feature j; nearer to each other the more features keep them apart."""
    drawn = random.Random(j)
    return [round(drawn.random() * SPREAD / n_features**0.5, 3) for _ in range(N_BLOBS)]


def change(connection: psycopg.Connection, customers: Customers, turn: int) -> None:
    """Move every tenth customer, others at every turn, as a day's business would, and let VACUUM clean up behind it."""
    step = 1 if turn % 2 else -1
    moved = ", ".join(f"{name} = {name} + {step}" for name in customers.feature_names)
    chosen = f"(hashtextextended(customer_id::text, {turn}) & 1023) < 102"
    connection.execute(f"UPDATE {customers.table} SET {moved} WHERE {chosen}".encode())
    connection.execute(f"VACUUM (ANALYZE) {customers.table}".encode())
