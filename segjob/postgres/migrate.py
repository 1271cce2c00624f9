"""`segjob migrate`: the schemas, their tables and views, the objects of every segmentation, and who may see them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from segjob.errors import ConfigurationError, NotPermitted
from segjob.postgres import tables
from segjob.postgres.assign import create_assign, drop_assign, find_values, signatures
from segjob.postgres.connecting.connect import Database, Schemas
from segjob.postgres.patience import short_attempts
from segjob.postgres.publishing.history import history_statements
from segjob.postgres.queries import Names, escaped, literal, query, quote, sql
from segjob.postgres.removing.removal import REMOVAL, refuse_dependents, remove_objects
from segjob.postgres.shapes import REVISION, Shape, current_revision, has_version_table, stored_shape
from segjob.shipped import migrations_dir

OURS = "segjob: "
"""How the comment of every view of ours begins."""


@dataclass(frozen=True)
class Grants:
    """Who besides the owner: the analysts' roles, and the role that runs the job, if it is another."""

    analysts: tuple[str, ...] = ()
    job_role: str | None = None


def migrate(database: Database, shapes: Sequence[Shape], grants: Grants, revision: str = "head") -> list[str]:
    """Bring everything up to date in one transaction; returns what was done, in sentences.

    Raises
    ------
    NotPermitted
        One of the two schemas holds objects of somebody else.
    ConfigurationError
        The key of a segmentation with versions changed, or a view of somebody else depends on ours.
    InTheWay
        Somebody held one of the objects for the whole deadline; nothing was done.
    """
    return short_attempts()(migrate_once, database, shapes, grants, revision)


def migrate_once(database: Database, shapes: Sequence[Shape], grants: Grants, revision: str) -> list[str]:
    """One attempt, which gives up when it has to wait for somebody's lock."""
    with database.begin() as connection:
        connection.execute(query("lock_timeout"))
        check_ours(connection, database.schemas)
        before = current_revision(connection, database.schemas)
        if revision == "base" and before:
            remove_segmentations(connection, database.schemas)
        for statement in create_schemas(connection, database.schemas):
            connection.execute(text(statement))
        config = alembic_config(database.schemas, connection)
        (command.upgrade if revision == "head" else move)(config, revision)
        after = current_revision(connection, database.schemas)
        done = [] if before == after else [f"schema version {before or 'none'} -> {after or 'none'}"]
        if after == REVISION:
            done += bring_up_to_date(connection, database.schemas, shapes, grants)
        return done


def move(config: Config, revision: str) -> None:
    """Go to a named revision, up or down."""
    script = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(
        config.attributes["connection"], opts={"version_table_schema": config.attributes["private"]}
    )
    above = {step.revision for step in script.iterate_revisions(context.get_current_revision(), "base")}
    (command.downgrade if revision == "base" or revision in above else command.upgrade)(config, revision)


def remove_segmentations(connection: Connection, schemas: Schemas) -> None:
    """Who goes down to nothing wants the objects of every segmentation gone as well."""
    for segmentation in connection.execute(select(tables.segmentation.c.segmentation)).scalars().all():
        names = Names(schemas, segmentation)
        refuse_dependents(connection, names)
        remove_objects(connection, names)


def bring_up_to_date(connection: Connection, schemas: Schemas, shapes: Sequence[Shape], grants: Grants) -> list[str]:
    """Make what each segmentation needs, and grant it."""
    done = []
    for sentence, statements in pending(connection, schemas, shapes, grants, fresh=False):
        for statement in statements:
            connection.execute(text(escaped(statement)))
        done += [sentence] if sentence else []
    return done


def pending(
    connection: Connection, schemas: Schemas, shapes: Sequence[Shape], grants: Grants, *, fresh: bool
) -> Iterator[tuple[str, list[str]]]:
    """What is still to be done beyond the migrations: a sentence, empty for grants alone, and its statements."""
    owner = str(connection.execute(text("SELECT current_user")).scalar_one())
    yield "", shared_grants(schemas, grants, owner)
    for shape in shapes:
        names = Names(schemas, shape.segmentation)
        values = find_values(connection, shape.features)
        stored = None if fresh else stored_shape(connection, shape.segmentation)
        sentence, statements = "", []
        if stored is None:
            sentence = f"segmentation {shape.segmentation} created"
            statements = create_statements(names, shape) + create_assign(names, values)
        elif stored != shape:
            sentence = f"segmentation {shape.segmentation} brought up to date"
            statements = rebuild(connection, names, shape, stored)
            if stored.features != shape.features:
                statements += drop_assign(connection, names, whole=False) + create_assign(names, values)
        granted = grant_statements(names, grants, owner, signatures(names, values))
        yield sentence, statements + granted + recorded(names, shape)


def rebuild(connection: Connection, names: Names, shape: Shape, stored: Shape) -> list[str]:
    """Make the label table and the views of a segmentation anew when its key changed; they know no features."""
    if stored.keys == shape.keys:
        return []
    refuse_new_key(connection, shape)
    refuse_dependents(connection, names)
    identifiers = names.identifiers()
    removed = [statement for step in REMOVAL for statement in sql(step, **identifiers)]
    return removed + create_statements(names, shape)


def recorded(names: Names, shape: Shape) -> list[str]:
    """Remember what the objects were made for."""
    return sql(
        "record_segmentation",
        key_columns=literal(json.dumps(shape.key_columns())),
        feature_columns=literal(json.dumps(shape.feature_columns())),
        **names.identifiers(),
    )


def create_statements(names: Names, shape: Shape) -> list[str]:
    """The label table and the views of one segmentation, with their comments."""
    keys = [quote(key.name) for key in shape.keys]
    identifiers = names.identifiers() | {
        "keys": ", ".join(keys),
        "l_keys": ",\n    ".join(f"l.{key}" for key in keys),
        "key_definitions": ",\n    ".join(f"{quote(key.name)} {key.type} NOT NULL" for key in shape.keys),
    }
    steps = (
        "create_label_table",
        "label_table_comments",
        "create_labels_view",
        "create_profile_view",
        "create_centroid_view",
        "create_segment_view",
        "create_unlabelled_view",
        "view_comments",
    )
    statements = [statement for step in steps for statement in sql(step, **identifiers)]
    for relation in (names.label, names.view(), names.view("_unlabelled")):
        for key in keys:
            statements += sql("comment_on_key", relation=relation, column=key)
    return statements + history_statements(names, shape.keys)


def grant_statements(names: Names, grants: Grants, owner: str, functions: Sequence[str]) -> list[str]:
    """Views and functions for the analysts and the job; the label table for the job, which attaches its partitions."""
    readers = [*grants.analysts, *([grants.job_role] if grants.job_role else [])]
    steps = ("grant_views_to_analyst", "grant_history_to_analyst")
    statements = [s for r in readers for step in steps for s in sql(step, role=quote(r), **names.identifiers())]
    statements += [s for f in functions for r in readers for s in sql("grant_assign", signature=f, role=quote(r))]
    if grants.job_role and grants.job_role != owner:
        for step in ("own_label_table", "own_membership_table"):
            statements += sql(step, role=quote(grants.job_role), owner=quote(owner), **names.identifiers())
    return statements


def shared_grants(schemas: Schemas, grants: Grants, owner: str) -> list[str]:
    """What every segmentation shares."""
    identifiers = {"private": quote(schemas.private), "public": quote(schemas.public)}
    statements = [s for role in grants.analysts for s in sql("grant_to_analyst", role=quote(role), **identifiers)]
    if grants.job_role and grants.job_role != owner:
        role = quote(grants.job_role)
        statements += sql("grant_to_job", role=role, **identifiers)
        statements += sql("own_sample_row", role=role, owner=quote(owner), **identifiers)
    return statements


def refuse_new_key(connection: Connection, shape: Shape) -> None:
    """Labels of another key can not be joined: a segmentation keeps its key for as long as it has versions."""
    table = tables.version
    found = select(table.c.version_id).where(table.c.segmentation == shape.segmentation).limit(1)
    if connection.execute(found).first():
        raise ConfigurationError(
            f"segmentation {shape.segmentation}: the name or type of its key changed, and it has versions under "
            "the old key; give the segmentation with the new key another name"
        )


def check_ours(connection: Connection, schemas: Schemas) -> None:
    """Touch a schema only if it is missing, empty, or holds our own objects."""
    comment = connection.execute(
        query("view_comment"), {"relation": f"{quote(schemas.public)}.segmentation"}
    ).scalar_one()
    ours = {
        schemas.private: has_version_table(connection, schemas),
        schemas.public: str(comment).startswith(OURS),
    }
    for schema, known in ours.items():
        held = connection.execute(query("held_objects"), {"schema": schema}).scalar()
        if held and not known:
            raise NotPermitted(
                f"schema {schema} exists and holds objects that are not segjob's, such as {held}; name another in "
                "database.schema and database.private_schema; nothing was touched"
            )
    check_owner(connection, schemas)


def check_owner(connection: Connection, schemas: Schemas) -> None:
    """To grant what is somebody else's is a mere warning of the server, and nothing would be granted."""
    row = connection.execute(
        query("owner_of_view"), {"relation": f"{quote(schemas.public)}.segmentation"}
    ).one_or_none()
    if row is not None and not row.is_ours:
        raise NotPermitted(
            f"the views in schema {schemas.public} belong to role {row.owner}, and this role is no member of it: "
            f"run `segjob migrate` as {row.owner}; nothing was touched"
        )


def create_schemas(connection: Connection, schemas: Schemas) -> Iterator[str]:
    """CREATE SCHEMA needs a privilege on the database even where it finds the schema: only ask for what is missing."""
    for schema in (schemas.private, schemas.public):
        exists = text("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = :schema)")
        if not connection.execute(exists, {"schema": schema}).scalar_one():
            yield f"CREATE SCHEMA {quote(schema)}"


def alembic_config(schemas: Schemas, connection: Connection | None = None, output: io.StringIO | None = None) -> Config:
    """Alembic's configuration, without a file; `output` takes the SQL of an offline run."""
    config = Config(output_buffer=output or io.StringIO())
    config.set_main_option("script_location", str(migrations_dir()))
    config.attributes.update(private=schemas.private, public=schemas.public, connection=connection)
    return config


def migration_sql(database: Database, shapes: Sequence[Shape], grants: Grants) -> str:
    """All that `migrate` would execute now, as a script for a DBA; the database is only read."""
    with database.begin() as connection:
        check_ours(connection, database.schemas)
        current = current_revision(connection, database.schemas)
        schemas = list(create_schemas(connection, database.schemas))
        steps = list(pending(connection, database.schemas, shapes, grants, fresh=current is None))
    upgrade = io.StringIO()
    config = alembic_config(database.schemas, output=upgrade)
    if current != REVISION:
        command.upgrade(config, f"{current}:head" if current else "head", sql=True)
    statements = [f"{statement};" for _, part in steps for statement in part]
    script = [*(f"{schema};" for schema in schemas), upgrade.getvalue().strip(), "BEGIN;", *statements, "COMMIT;"]
    return "\n\n".join(part for part in script if part) + "\n"
