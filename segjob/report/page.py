"""One self-contained HTML page, and how it gets into a file."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from segjob import __version__
from segjob.errors import ConfigurationError, TryAgain
from segjob.records.version import Candidate, Version
from segjob.report.moved import Flow
from segjob.report.sections import counted, key_figures, making, sections
from segjob.report.wording import moment, written

HERE = Path(__file__).parent
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def render(
    version: Version,
    *,
    generated_at: datetime | None = None,
    candidates: Sequence[Candidate] = (),
    flow: Flow | None = None,
) -> str:
    """One HTML page about a version, which opens without a network and holds nothing that is not in the record.

    The same arguments give the same page.

    Parameters
    ----------
    version : what the job stored
    generated_at : said at the foot of the page; nothing is said when None
    candidates : the numbers of segments that were tried; drawn when there are at least two
    flow : who moved since the parent version; drawn where there is one

    Raises
    ------
    ConfigurationError
        plotly is not installed.
    """
    figures = sections(version, candidates, flow)
    scripts = [plotly_script(), (HERE / "page.js").read_text("utf-8")]
    return template().render(
        version=version,
        counted=counted(version),
        key_figures=key_figures(version),
        sections=figures,
        making=making(version),
        figures=embedded({section.slug: section.figure for section in figures if section.figure}),
        generated_at=generated_at,
        program=f"segjob {__version__}",
        style=Markup((HERE / "page.css").read_text("utf-8")),
        scripts=[Markup(script) for script in scripts],
        policy=content_policy(scripts),
    )


def template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(written=written, moment=moment)
    return environment.get_template("template.html.j2")


def plotly_script() -> str:
    """The whole of plotly.js, to be inlined."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ConfigurationError("The report needs plotly: pip install 'segjob[report]'.") from error
    return str(get_plotlyjs())


def embedded(data: object) -> Markup:
    """JSON that can not end the script element it stands in."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def content_policy(scripts: Sequence[str]) -> str:
    """A policy that forbids the network, and every script but these: nothing a name may hold can ever run."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    others = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {others}"


def write(page: str, path: Path) -> None:
    """Put a page into a file: whole or not at all, a page that stood there before is replaced at once.

    Raises
    ------
    ConfigurationError
        The file can not be written there.
    TryAgain
        The disk is full.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_text(page, "utf-8")  # a pipe or a device, which must not be replaced by a file
        else:
            replace(path, page)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in DISK_FULL:
            raise TryAgain(f"The report can not be written to {path}: {reason}.") from error
        raise ConfigurationError(
            f"The report can not be written to {path}: {reason}; give a file in a folder you may write to with --out."
        ) from error


def replace(path: Path, page: str) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    path = Path(os.path.realpath(path))  # a link stays, what it points to is replaced
    draft = path.with_name(f".segjob-{secrets.token_hex(8)}")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
