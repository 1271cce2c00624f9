"""What a run says while it works, and the seconds of each phase: log lines, or a display where a person looks on."""

from segjob.progress.phases import Phase
from segjob.progress.progress import PHASES, Progress

__all__ = ["PHASES", "Phase", "Progress"]
