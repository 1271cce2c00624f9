"""A page as a browser or a screen reader sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "hr", "img", "input"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, *tags: str) -> list[Element]:
        """The elements of these names within this one, in the order of the page."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += ([child] if child.tag in tags or not tags else []) + child.all(*tags)
        return found

    def one(self, tag: str, **attributes: str) -> Element:
        found = [each for each in self.all(tag) if attributes.items() <= each.attributes.items()]
        assert len(found) == 1, f"{len(found)} <{tag}> with {attributes}"
        return found[0]


class Reader(HTMLParser):
    """Refuses what a browser would only repair: an element that is not closed, or closed in the wrong place."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


@dataclass(frozen=True)
class Page:
    source: str
    root: Element

    @property
    def figures(self) -> dict[str, Any]:
        """The figures as plotly gets them, by section."""
        found: dict[str, Any] = json.loads(self.root.one("script", id="figures").text)
        return found

    @property
    def tables(self) -> dict[str, list[list[str]]]:
        """The texts of each table by its caption, the header first."""
        return {
            table.one("caption").text: [[cell.text for cell in row.all("th", "td")] for row in table.all("tr")]
            for table in self.root.all("table")
        }

    def section(self, heading_id: str) -> Element:
        return self.root.one("section", **{"aria-labelledby": heading_id})


def read_page(source: str) -> Page:
    reader = Reader()
    reader.feed(source)
    reader.close()
    assert reader.open == [reader.root], f"<{reader.open[-1].tag}> is never closed"
    return Page(source, reader.root)
