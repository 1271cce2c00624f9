"""The commands that take something away, thin as the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segjob import console
from segjob.options import ConfigOption, DebugOption, JsonOption, Name, UrlOption, settings

app = typer.Typer()

Keys = Annotated[
    list[str] | None,
    typer.Argument(help="The key of a customer; one of several columns is a line of CSV.", show_default=False),
]


@app.command()
def prune(
    context: typer.Context,
    name: Name,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Drop the labels of old versions, beyond keep_versions."""
    from segjob.commands.prune import print_pruned, prune

    console.show(prune(settings(context, config, database_url), name), as_json, print_pruned)


@app.command()
def forget(
    context: typer.Context,
    name: Name,
    keys: Keys = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="A file of keys with a header of key columns.")] = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Erase customers from every version, history and stored sample."""
    from segjob.commands.forget import forget, print_forgotten

    console.show(forget(settings(context, config, database_url), name, keys or [], csv), as_json, print_forgotten)


@app.command()
def drop(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Drop it; without, only tell what would go.")] = False,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove a segmentation with all of its versions, views and books."""
    from segjob.commands.drop import drop, print_dropped

    console.show(drop(settings(context, config, database_url), name, yes), as_json, print_dropped)
