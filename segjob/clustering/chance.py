"""Where chance comes from: from a seed, on the CPU."""

from __future__ import annotations

import torch


def chance(seed: int) -> torch.Generator:
    """A generator of its own; the same seed draws the same numbers.

    A copy of torch's one, because `torch.Generator()` needs what a run leaves out of torch (segjob/preload.py).
    """
    return torch.default_generator.clone_state().manual_seed(seed)
