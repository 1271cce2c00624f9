"""The command with less time to wait for the locks of others, so that a test need not wait for a minute."""

from __future__ import annotations

from collections.abc import Sequence

from segjob.job import forgetting
from segjob.postgres import patience
from segjob.postgres.publishing import publish
from tests.command import become_command

SECONDS = 2.0
DEADLINES = ((patience, "LOCK_DEADLINE"), (publish, "ANALYZE_DEADLINE"), (forgetting, "SNAPSHOT_DEADLINE"))


def become_impatient(folder: str, variables: dict[str, str], arguments: Sequence[str], streams: Sequence[str]) -> None:
    """Be the command with short deadlines; how it waits until then is as it is."""
    for module, name in DEADLINES:
        setattr(module, name, SECONDS)
    become_command(folder, variables, arguments, streams)
