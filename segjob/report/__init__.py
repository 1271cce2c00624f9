"""The report: one self-contained HTML page about a version, made only from what the version stored."""

from segjob.records.version import Candidate
from segjob.report.page import render, write

__all__ = ["Candidate", "render", "write"]
