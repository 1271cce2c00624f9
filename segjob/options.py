"""Options and arguments that several commands take, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segjob.errors import UsageError

if TYPE_CHECKING:
    from segjob.config import Settings

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration; else SEGJOB_CONFIG, else ./segjob.yaml.")
]
UrlOption = Annotated[str | None, typer.Option("--database-url", help="Overrides database.url.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]
ParamOption = Annotated[list[str] | None, typer.Option("--param", help="K=V, bound into the query; repeatable.")]
Name = Annotated[str, typer.Argument(help="The segmentation.", show_default=False)]
Names = Annotated[list[str] | None, typer.Argument(help="The segmentations.", show_default=False)]
OptionalName = Annotated[str | None, typer.Argument(help="The segmentation; all if none.", show_default=False)]
OptionalVersion = Annotated[int | None, typer.Argument(help="The version; the published one if none.", min=1)]
All = Annotated[bool, typer.Option("--all", help="Every segmentation of the configuration.")]


def settings(context: typer.Context, config: Path | None, database_url: str | None) -> Settings:
    """The configuration, with what the command line overrides."""
    from segjob.config import load
    from segjob.config.threads import tell_libraries

    tell_libraries()  # before the command's own imports: the libraries ask when they are loaded
    given = context.obj or {}
    url = database_url or given.get("database_url")
    return load(config or given.get("config"), {"database": {"url": url}} if url else {})


def chosen_names(chosen: Settings, names: list[str] | None, everything: bool) -> tuple[str, ...]:
    """The segmentations that the command line names."""
    if everything == bool(names):
        raise UsageError("name the segmentations, or give --all")
    for name in names or []:
        chosen.segmentation(name)
    return tuple(dict.fromkeys(names or chosen.segmentations))


def pairs(given: list[str] | None) -> dict[str, str]:
    """Turn K=V into a mapping."""
    found = {}
    for pair in given or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"expected NAME=VALUE, not {pair!r}")
        found[key.strip()] = value
    return found
