"""What the tests of bad input start from: the mall's customers, of whom one version is published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL, write_configuration
from tests.command import run_segjob
from tests.conftest import ROOT

SEEN = """
SELECT
    (SELECT md5(string_agg(m::text, '|' ORDER BY m.customer_id)) FROM segments.mall AS m),
    (SELECT md5(string_agg(p::text, '|' ORDER BY p.segment_id)) FROM segments.mall_profile AS p),
    (SELECT md5(string_agg(c::text, '|' ORDER BY c.segment_id, c.feature)) FROM segments.mall_centroid AS c),
    (SELECT (s.version_id, s.published_at)::text FROM segments.segmentation AS s WHERE s.segmentation = 'mall')
"""
LOOSE = """
SELECT string_agg(c.relname, ', ') FROM pg_catalog.pg_class AS c
WHERE c.relname LIKE 'label_mall$%' AND c.relkind = 'r' AND NOT EXISTS (
    SELECT FROM segments.version AS v WHERE c.relname = 'label_mall$' || v.version_id)
"""


@dataclass(frozen=True)
class Mall:
    """A mall with a published version, the command on it, and a session of a superuser."""

    folder: Path
    url: str
    connection: psycopg.Connection

    def configure(self, **changes: Any) -> None:
        """Write segjob.yaml with other keys of the segmentation; None takes a key away."""
        wanted = {key: value for key, value in {**MALL, **changes}.items() if value is not None}
        write_configuration(self.folder, {"mall": wanted})

    def execute(self, statement: str) -> Any:
        """One statement, or several; the first row of the last, if it has any."""
        cursor = self.connection.execute(statement.encode())
        return cursor.fetchone() if cursor.description else None

    def command(self, *arguments: str, role: str | None = None) -> subprocess.CompletedProcess[str]:
        """The command, in the place of another role if one is named."""
        as_role = f"{'&' if urlsplit(self.url).query else '?'}options=-crole%3D{role}" if role else ""
        return run_segjob(self.folder, self.url + as_role, *arguments)

    def altered(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command in a new interpreter in which a few lines have changed something."""
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": self.url, "LANG": "C.UTF-8"}
        started = f"{script}\nimport sys\nfrom segjob.cli import main\nsys.argv[0] = 'segjob'\nmain()"
        return subprocess.run(
            [sys.executable, "-c", started, *arguments],
            check=False,
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def succeed(self, *arguments: str, role: str | None = None) -> Any:
        """Run the command with --json, expect success, and give its document."""
        done = self.command(*arguments, "--json", role=role)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def seen(self) -> Any:
        """All that analysts see of the published version, in short."""
        return self.execute(SEEN)

    def last_run(self) -> Any:
        return self.execute("SELECT run_id, status, exit_code, error FROM segments.run ORDER BY run_id DESC LIMIT 1")

    def refused(
        self,
        code: int,
        *words: str,
        row: str | None,
        command: Sequence[str] = ("run", "mall"),
        role: str | None = None,
    ) -> str:
        """Run the command, which has to fail as it should; returns its sentence.

        Parameters
        ----------
        words : have to be in the sentence, which has to be the last thing on stderr and all that --json says
        row : the status of the row that it leaves in segments.run; None if it must leave none
        """
        before, last, loose = self.seen(), self.last_run(), self.execute(LOOSE)
        done = self.command(*command, "--json", role=role)
        assert done.returncode == code, done.stderr + done.stdout
        error = json.loads(done.stdout)["error"]
        message = str(error["message"])
        assert error["exit_code"] == code
        assert all(word in message for word in words), message
        assert message in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert self.seen() == before, "analysts see something else"
        now = self.last_run()
        assert now == last if row is None else now[1:] == (row, code, message) and now[0] > last[0]
        assert self.execute(LOOSE) == loose, "a table is left behind"
        return message


@pytest.fixture
def published(
    server_url: str, server_connection: psycopg.Connection, published_mall: str, tmp_path: Path
) -> Iterator[Mall]:
    """A copy of its own for each test."""
    write_configuration(tmp_path, {"mall": MALL})
    with (
        servers.fresh_database(server_url, server_connection, published_mall) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield Mall(tmp_path, url, connection)


@pytest.fixture
def role(published: Mall) -> Iterator[str]:
    """A role that may do nothing, and is gone afterwards."""
    name = f"segjob_test_{urlsplit(published.url).path[6:26]}"
    published.execute(f"CREATE ROLE {name}")
    try:
        yield name
    finally:
        published.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")
