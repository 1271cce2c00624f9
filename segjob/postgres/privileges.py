"""What the role of the job has to own and to be allowed, asked before any work is done."""

from __future__ import annotations

from sqlalchemy import Connection

from segjob.errors import NotPermitted
from segjob.postgres.queries import Names, query

REMEDY = "name the role that runs the job as database.job_role and run `segjob migrate`, or run as the owner"


def check_privileges(connection: Connection, names: Names) -> None:
    """The job makes tables in the private schema and attaches them to tables of its own, which only their owner may.

    Raises
    ------
    NotPermitted
        It could not.
    """
    arguments = {"private": names.schemas.private, "label": names.label, "membership": names.membership}
    for row in connection.execute(query("privileges"), arguments):
        if not row.may_create:
            raise NotPermitted(f"this role may not create tables in schema {names.schemas.private}; {REMEDY}")
        if not row.owned:
            raise NotPermitted(f"this role does not own {row.relation}, which is {row.owner}'s; {REMEDY}")
