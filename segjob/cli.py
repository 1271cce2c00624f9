"""The commands, thin: what they compute is imported when it is asked for, so that `--help` never loads torch."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path
from threading import Timer
from types import FrameType
from typing import Annotated, Any

import typer

from segjob import __version__, cli_publishing, cli_retention, console
from segjob.errors import Interrupted, SegjobError, Stopped, UsageError, unexpected
from segjob.options import (
    All,
    ConfigOption,
    DebugOption,
    JsonOption,
    Name,
    Names,
    OptionalName,
    OptionalVersion,
    ParamOption,
    UrlOption,
    chosen_names,
    pairs,
    settings,
)
from segjob.preload import preload_torch

RARELY = 1_000_000
"""New objects after which Python looks for garbage. Imports bring four hundred thousand, none of which goes away again.
To look through them after every 700 takes half a second of a run; after every 100,000, three times 0.02 s in which the
customers wait. What holds the customers' memory is freed without it."""

TURN = 0.001
"""Seconds that a thread may keep the interpreter while others want it. Who imports torch does so for a second, and who
reads meanwhile wants it often and not for long: the usual 5 ms are long for that."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Customer segments in Postgres that a business can trust and join on.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options that every command takes; they may stand before or after its name."""
    if version:
        print(f"segjob {__version__}")
        raise typer.Exit
    context.obj = {"config": config, "database_url": database_url}


@app.command()
def demo(
    directory: Annotated[Path, typer.Option(help="Where the demo's Postgres and report live.")] = Path(".segjob"),
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Start the bundled Postgres, make a small shop with known segments, run, and show how to join them in SQL."""
    from segjob.config.threads import tell_libraries

    tell_libraries()
    from segjob.commands.demo import demo

    demo(directory, as_json)


@app.command()
def init(
    context: typer.Context,
    table: Annotated[str | None, typer.Option(help="The customer table or view, with its schema.")] = None,
    key: Annotated[str | None, typer.Option(help="Its key column.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take what is suggested, without asking.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file to write; else SEGJOB_CONFIG, else segjob.yaml.")] = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    debug: DebugOption = False,
) -> None:
    """Write a commented segjob.yaml from what the database has; never overwrites."""
    from segjob.commands.init import init

    given = context.obj or {}
    url = database_url or given.get("database_url")
    print(init(out or config or given.get("config"), url, table, key, yes))


@app.command("config-schema")
def config_schema(debug: DebugOption = False) -> None:
    """Print the JSON Schema of segjob.yaml."""
    from segjob.config import config_schema

    print(json.dumps(config_schema(), indent=2))


@app.command()
def migrate(
    context: typer.Context,
    as_sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for a DBA and change nothing.")] = False,
    to: Annotated[str, typer.Option("--to", help="The revision to go to, up or down.")] = "head",
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Bring the schema and every segmentation's own objects up to date, and grant the analysts."""
    from segjob.commands.migrate import migrate, migration_script

    chosen = settings(context, config, database_url)
    if as_sql:
        print(migration_script(chosen), end="")
        return
    done = migrate(chosen, to)
    console.show({"status": "done", "done": done}, as_json, lambda _: print("\n".join(done or ["up to date"])))


@app.command()
def check(
    context: typer.Context,
    name: OptionalName = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Check configuration, connection, privileges, columns, types and volume; write nothing."""
    from segjob.commands.check import check, print_checks

    found = check(settings(context, config, database_url), name)
    console.show(found.document(), as_json, lambda _: print_checks(found))
    if found.error is not None:
        if as_json:
            raise typer.Exit(found.error.exit_code)
        raise found.error


@app.command()
def run(
    context: typer.Context,
    names: Names = None,
    everything: All = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do all but write, print what would change.")] = False,
    no_publish: Annotated[bool, typer.Option("--no-publish", help="Keep the version staged.")] = False,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Leave older versions attached.")] = False,
    param: ParamOption = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit, label, score and publish."""
    chosen = settings(context, config, database_url)
    preload_torch()
    from segjob.commands.run import Wanted, print_results, run_all

    wanted = Wanted(
        chosen_names(chosen, names, everything), pairs(param), dry_run, publish=not no_publish, prune=not no_prune
    )
    results, exit_code = run_all(chosen, wanted)
    document = results[0] if len(results) == 1 else results
    console.show(document, as_json, lambda _: print_results(results))
    raise typer.Exit(exit_code)


@app.command()
def score(
    context: typer.Context,
    names: Names = None,
    everything: All = False,
    param: ParamOption = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Label new and changed customers with the published model, without a new fit."""
    chosen = settings(context, config, database_url)
    preload_torch()
    from segjob.commands.score import print_scores, score_all

    results, exit_code = score_all(chosen, chosen_names(chosen, names, everything), pairs(param))
    document = results[0] if len(results) == 1 else results
    console.show(document, as_json, lambda _: print_scores(results))
    raise typer.Exit(exit_code)


@app.command("choose-k")
def choose_k(
    context: typer.Context,
    name: Name,
    least: Annotated[int | None, typer.Option("--min", help="The smallest number of segments.", min=2, max=100)] = None,
    most: Annotated[int | None, typer.Option("--max", help="The largest number of segments.", min=2, max=100)] = None,
    param: ParamOption = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Try numbers of segments, print and store their scores, and suggest one."""
    chosen = settings(context, config, database_url)
    preload_torch()
    from segjob.commands.choose_k import choose_k, print_choice

    found = choose_k(chosen, name, least, most, pairs(param))
    console.show(found, as_json, print_choice)


@app.command()
def predict(
    context: typer.Context,
    name: Name,
    values: Annotated[list[str] | None, typer.Option("--set", help="feature=value; repeatable.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="A file with a header of feature names.")] = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell the segment of customers given by hand or in a file."""
    if (values is None) == (csv is None):
        raise UsageError("give either --set feature=value … or --csv FILE")
    chosen = settings(context, config, database_url)
    from segjob.commands.predict import predict, print_predictions

    found = predict(chosen, name, pairs(values), csv)
    console.show(found, as_json, print_predictions)


@app.command()
def status(
    context: typer.Context,
    name: OptionalName = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell what is published, since when, how good it is, how the last run went, and what is due."""
    from segjob.commands.listing import print_status, statuses

    found = statuses(settings(context, config, database_url), name)
    document = found[0] if name else found
    console.show(document, as_json, lambda _: print_status(found))


@app.command()
def versions(
    context: typer.Context,
    name: Name,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the versions of a segmentation."""
    from segjob.commands.listing import print_versions, versions

    console.show(versions(settings(context, config, database_url), name), as_json, print_versions)


@app.command()
def show(
    context: typer.Context,
    name: Name,
    version: OptionalVersion = None,
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the segments, centroids and scores of a version."""
    from segjob.commands.show import print_version, version_document

    found = version_document(settings(context, config, database_url), name, version)
    console.show(found, as_json, print_version)


@app.command()
def report(
    context: typer.Context,
    name: Name,
    version: OptionalVersion = None,
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = Path("report.html"),
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write one self-contained page about a version."""
    from segjob.commands.report import report

    written = report(settings(context, config, database_url), name, version, out)
    console.show(written, as_json, lambda document: print(document["file"]))


@app.command()
def export(
    context: typer.Context,
    name: Name,
    version: OptionalVersion = None,
    out: Annotated[Path, typer.Option("--out", help="FILE.csv or FILE.parquet.")] = Path("labels.csv"),
    config: ConfigOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the labels of a version to a file."""
    from segjob.commands.export import export

    written = export(settings(context, config, database_url), name, version, out)
    console.show(written, as_json, lambda d: print(f"{d['file']}: {d['n_customers']:,} customers"))


app.add_typer(cli_publishing.app)
app.add_typer(cli_retention.app)


STOP_SECONDS = 4.0  # from a signal until what is not yet cleared up is left to the next run


def stop(signum: int, frame: FrameType | None) -> None:
    """Give up whatever goes on, in order; and in time, whatever the server does. Once is enough."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    stopped = Interrupted("stopped by Ctrl-C") if signum == signal.SIGINT else Stopped("stopped by SIGTERM")
    deadline = Timer(STOP_SECONDS, leave_at_once, [stopped])
    deadline.daemon = True
    deadline.start()
    raise stopped


def leave_at_once(stopped: Stopped) -> None:
    """A server that neither answers nor hangs up can be told nothing; what it was told before, it rolls back."""
    tell(type(stopped)(f"{stopped}, and the server did not answer any more: the next run clears up"))
    sys.stdout.flush()
    os._exit(stopped.exit_code)


def main() -> None:
    """The entry point: every error becomes one sentence and the contract's exit code."""
    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # nobody asked us to ignore it
        signal.signal(signal.SIGINT, stop)
    console.tell_no_values_of_stray_errors()
    gc.set_threshold(RARELY)
    sys.setswitchinterval(TURN)
    try:
        app()
    except SegjobError as error:
        leave(error)
    except SystemExit as ended:
        if ended.code == UsageError.exit_code and "--json" in sys.argv:
            console.show(console.failure(UsageError("wrong command line; see --help")), True, print)
        raise
    except Exception as error:  # a bug: still one sentence, and the contract's exit code
        told = unexpected(error)
        told.__cause__ = error
        leave(told)
    finally:
        console.let_stderr_fail()
        gc.freeze()  # the process ends: to look for garbage among all that torch brought would take half a second


def leave(error: SegjobError) -> Any:
    tell(error)
    sys.exit(error.exit_code)


def tell(error: SegjobError) -> None:
    """Say what went wrong, where the caller listens."""
    if "--debug" in sys.argv:
        console.print_traceback(error)
    else:
        console.complain(error)
    if "--json" in sys.argv:
        console.show(console.failure(error), True, print)
