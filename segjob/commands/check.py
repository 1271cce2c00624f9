"""`segjob check`: everything that can be known before a run, and nothing written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from psycopg import ConnectionInfo
from sqlalchemy import Connection

from segjob import console
from segjob.commands.database import open_database
from segjob.config import Settings
from segjob.errors import ConfigurationError, DataError, SegjobError
from segjob.job.source import plan_source, shape_of
from segjob.postgres.connecting.connect import Database, driver_of
from segjob.postgres.privileges import check_privileges
from segjob.postgres.queries import Names
from segjob.postgres.reading.expected import expect
from segjob.postgres.reading.standby import cancels_after, replay_of
from segjob.postgres.shapes import check_up_to_date


@dataclass
class Checks:
    """What was looked at: ok, warning or failed, with a sentence."""

    rows: list[dict[str, str]] = field(default_factory=list)
    error: SegjobError | None = None

    def add(self, what: str, result: str, sentence: str) -> None:
        self.rows.append({"check": what, "result": result, "message": sentence})

    @contextmanager
    def of(self, what: str) -> Iterator[Callable[[str], None]]:
        """Look at one thing; the first failure decides the exit code, and the others are still looked at."""
        said: list[str] = []
        try:
            yield said.append
        except SegjobError as error:
            self.add(what, "failed", str(error))
            self.error = self.error or error
        else:
            self.add(what, "ok", "; ".join(said))

    def document(self) -> dict[str, Any]:
        failed = {} if self.error is None else console.failure(self.error)
        return {"status": "ok", "checks": self.rows, **failed}


def check(settings: Settings, name: str | None) -> Checks:
    """Look at the connection, then at one segmentation or at all."""
    names = [name] if name else list(settings.segmentations)
    for one in names:
        settings.segmentation(one)
    checks = Checks()
    database = None
    with checks.of("connection") as say:
        database = open_database(settings)
        with database.begin() as connection:
            say(check_server(connection, checks, database.key))
    if database is not None and database.source is not None:
        with checks.of("source's connection") as say, database.source.begin() as connection:
            say(check_server(connection, checks, database.source.key))
            say(check_standby(connection, checks))
    if checks.error is None and database is not None:
        for one in names:
            check_segmentation(database, settings, one, checks)
    return checks


def check_server(connection: Connection, checks: Checks, key: str) -> str:
    """Which server it is that the URL under this key leads to."""
    info = driver_of(connection).info
    if info.server_version < 140000:
        raise ConfigurationError(f"PostgreSQL {info.server_version // 10000} is older than 14, the oldest that works")
    check_encryption(info, key, checks)
    return f"PostgreSQL {info.server_version // 10000}.{info.server_version % 10000}, role {info.user}"


def check_encryption(info: ConnectionInfo, key: str, checks: Checks) -> None:
    """A remote server whose certificate nobody verifies is worth a warning: it may be anybody.

    The mode is asked of the connection itself, for it may come from PGSSLMODE, a service file or libpq's defaults.
    """
    modes = [option.val for option in info.pgconn.info if option.keyword == b"sslmode"]
    if modes == [b"verify-full"] or is_on_this_machine(info):
        return
    what = "the server's certificate is not verified" if info.pgconn.ssl_in_use else "the connection is not encrypted"
    way_out = f"add sslmode=verify-full to {key}, and sslrootcert=FILE if its authority is one of your own"
    checks.add("tls", "warning", f"{what}; {way_out}")


def is_on_this_machine(info: ConnectionInfo) -> bool:
    """A Unix socket, or an address of the loopback that was not given another name."""
    named = info.host.lower()
    if named.startswith(("/", "@")):
        return True
    return ip_address(info.hostaddr).is_loopback and named in ("localhost", info.hostaddr)


def check_standby(connection: Connection, checks: Checks) -> str:
    """Whether the customers are read from a standby, how far that is behind, and whether it would end a long read."""
    replay = replay_of(driver_of(connection))
    if not replay.standby:
        return "no standby"
    cancelled = cancels_after(driver_of(connection))
    if cancelled is not None:
        checks.add(
            "standby",
            "warning",
            f"a read that is in the way of replay for {cancelled} is cancelled; set hot_standby_feedback = on there, or"
            " raise max_standby_streaming_delay",
        )
    for sentence in replay.warnings:
        checks.add("standby", "warning", sentence)
    return f"a standby, {replay.seconds_behind:.0f} s behind"


def check_segmentation(database: Database, settings: Settings, name: str, checks: Checks) -> None:
    """Columns and types, schema, privileges and volume of one segmentation."""
    segmentation = settings.segmentation(name)
    with checks.of(f"{name}: columns and types") as say, database.customers.begin() as connection:
        plan = plan_source(connection, segmentation, {})
        say(f"key {', '.join(f'{key.name} {key.type}' for key in plan.keys)}; {len(plan.features)} feature(s)")
    if checks.error is not None:
        return
    with checks.of(f"{name}: schema"), database.begin() as connection:
        check_up_to_date(connection, database.schemas, shape_of(name, plan))
    with checks.of(f"{name}: privileges"), database.begin() as connection:
        check_privileges(connection, Names(database.schemas, name))
    with checks.of(f"{name}: volume") as say, database.customers.begin() as connection:
        say(check_volume(expect(driver_of(connection), plan).n_rows))


def check_volume(estimated: int) -> str:
    if estimated < 1:
        raise DataError("the planner expects no rows in the source")
    return f"about {estimated:,} customers, by the planner's estimate"


def print_checks(checks: Checks) -> None:
    console.table("", ("check", "result", ""), [[row["check"], row["result"], row["message"]] for row in checks.rows])
