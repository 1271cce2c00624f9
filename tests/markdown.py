"""The project's own pages, taken apart: what tests compare with what the program is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
TABLE = re.compile(r"(^\|.*\n)+", re.MULTILINE)
CELL = re.compile(r"(?<!\\)\|")
CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """Without what stands in fences."""
        return FENCE.sub("", self.text)

    def blocks(self, *languages: str) -> Iterator[str]:
        """What stands in fences of these languages."""
        for _, language, content in FENCE.findall(self.text):
            if language in languages:
                yield dedent(content)

    def sections(self) -> dict[str, str]:
        """What stands below each heading, up to the next one of any level."""
        _, *parts = HEADING.split(self.prose)
        return dict(zip(parts[1::3], parts[2::3], strict=True))

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of the first table below a heading, without its head."""
        found = TABLE.search(self.sections()[heading])
        lines = found[0].splitlines()[2:] if found else []
        return [[cell.strip() for cell in CELL.split(line)[1:-1]] for line in lines]

    def anchors(self) -> set[str]:
        """What a link to a heading calls it."""
        return {anchor(heading) for _, heading in HEADING.findall(self.prose)}

    def links(self) -> Iterator[str]:
        """The targets that lie in this repository."""
        return (target for target in LINK.findall(self.prose) if not re.match(r"\w+:", target))


def anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def codes(cell: str) -> list[str]:
    return CODE.findall(cell)


def page(name: str) -> Page:
    return Page(ROOT / name)


def pages() -> list[Page]:
    """Everything that a reader finds, in the order of the paths."""
    return [Page(path) for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]]


def named(one: Page) -> str:
    return str(one.path.relative_to(ROOT))
