"""The commands that move the pointer or compare versions, thin as the others."""

from __future__ import annotations

from typing import Annotated

import typer

from segjob import console
from segjob.options import ConfigOption, DebugOption, JsonOption, Name, UrlOption, settings

app = typer.Typer()

Version = Annotated[int, typer.Argument(help="The version.", min=1, show_default=False)]


@app.command()
def publish(
    context: typer.Context,
    name: Name,
    version: Version,
    force: Annotated[bool, typer.Option("--force", help="Publish a version that a gate refused.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept with the publication.")] = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Publish a version that is there: a staged or an earlier one, or a rejected one by force."""
    from segjob.commands.publish import print_publication, publish

    done = publish(settings(context, config, database_url), name, version, force, reason)
    console.show(done, as_json, print_publication)


@app.command()
def rollback(
    context: typer.Context,
    name: Name,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Go back to the version that was published before."""
    from segjob.commands.publish import print_publication, rollback

    console.show(rollback(settings(context, config, database_url), name), as_json, print_publication)


@app.command()
def diff(
    context: typer.Context,
    name: Name,
    a: Annotated[int, typer.Argument(help="The version before.", min=1, show_default=False)],
    b: Annotated[int, typer.Argument(help="The version after.", min=1, show_default=False)],
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell how many customers moved from which segment to which between two versions, who came and who left."""
    from segjob.commands.diff import diff, print_diff

    console.show(diff(settings(context, config, database_url), name, a, b), as_json, print_diff)
