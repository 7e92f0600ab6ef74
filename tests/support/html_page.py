"""An HTML page as elements and tables, for tests."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "hr", "wbr"}


class Page(HTMLParser):
    """All elements of a page with their attributes; every tag must be balanced.

    Attributes:
        elements: tag and attributes of each element, in order.
        texts: tag -> texts directly inside elements with this tag.
        tables: label of the region around a table -> its rows of cell texts.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._region = ""
        self.feed(text)
        self.close()
        assert self.stack == []
        self.tables = {
            label: [[" ".join(cell.split()) for cell in row] for row in rows]
            for label, rows in self.tables.items()
        }

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len({name for name, _ in attrs}), f"attribute twice in <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if dict(attrs).get("role") == "region":
            self._region = dict(attrs).get("aria-label") or ""
        if tag == "tr":
            self.tables.setdefault(self._region, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._region][-1].append("")
        elif self.stack and self._in_cell():
            self.tables[self._region][-1][-1] += " "
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack:
            self.texts.setdefault(self.stack[-1], []).append(data)
            if self._in_cell():
                self.tables[self._region][-1][-1] += data

    def _in_cell(self) -> bool:
        return "td" in self.stack or "th" in self.stack

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements with a tag."""
        return [attrs for name, attrs in self.elements if name == tag]


def section(page: str, name: str) -> str:
    """Return the HTML inside a section of a page."""
    start = page.split(f'<section id="{name}"')[1]
    return start.split("</section>")[0].partition(">")[2]
