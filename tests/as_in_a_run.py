"""Imported before torch: torch is then imported as a run does it, without what is for compilers."""

from segjob.preload import postpone

postpone()
