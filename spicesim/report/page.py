"""A page of facts, tables and figures, and how it becomes one file of HTML that needs nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from spicesim.files import write_text
from spicesim.plots.figure import figure_svg

__all__ = ["Block", "Column", "Facts", "Illustration", "Interactive", "Page", "Section", "Table", "write_page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Head of a table's column."""

    title: str
    """What it holds."""
    unit: str = ""
    """Unit of its numbers."""
    text: bool = False
    """Whether it holds words, set from the left, instead of numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its caption."""

    caption: str
    """One sentence on what to see."""
    columns: tuple[Column, ...]
    """Heads."""
    rows: tuple[tuple[str, ...], ...]
    """Cells, formatted."""
    wide: bool = True
    """Whether it takes the whole width of the page."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Illustration:
    """A figure with its caption."""

    title: str
    """What it shows, in a few words."""
    caption: str
    """One sentence on what to see."""
    figure: Figure
    """The drawing."""
    tall: bool = False
    """Whether two lower blocks fit beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A few named values side by side; the page's first sight."""

    items: tuple[tuple[str, str], ...]
    """(name, value with its unit)."""
    large: bool = False
    """Whether they are what the page is about."""
    wide: bool = True
    """Facts always take the whole width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interactive:
    """A part of the page that answers to the mouse, with its caption; it takes the whole width."""

    title: str
    """What it shows, in a few words."""
    caption: str
    """One sentence on what to see."""
    html: str
    """The part, with its script; taken as it is, so never anybody's text."""


Block: TypeAlias = Table | Illustration | Facts | Interactive


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """A part of a page."""

    anchor: str
    """Its id, for links."""
    title: str
    """Its heading."""
    text: str = ""
    """A few sentences before the blocks."""
    blocks: tuple[Block, ...] = ()
    """What it shows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page:
    """A report."""

    title: str
    """Its heading."""
    kind: str
    """What sort of report it is."""
    text: str = ""
    """A sentence or two under the heading."""
    facts: tuple[Facts, ...] = ()
    """What it is about, before all sections."""
    sections: tuple[Section, ...] = field(default=())
    """Its parts."""

    def illustrations(self) -> Iterator[Illustration]:
        """Yield all figures in order."""
        for section in self.sections:
            yield from (block for block in section.blocks if isinstance(block, Illustration))


def render_page(page: Page) -> str:
    """Render a page as HTML."""
    folder = files("spicesim.report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    drawings = {
        id(block): Markup(figure_svg(block.figure, name=f"f{number}", label=block.title))
        for number, block in enumerate(page.illustrations(), 1)
    }
    style = Markup((folder / "page.css").read_text(encoding="utf-8"))
    return template.render(
        page=page, drawings=drawings, style=style, key=id, kind=lambda block: type(block).__name__, safe=Markup
    )


def write_page(page: Page, path: str | Path) -> None:
    """Write a page, atomically.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    write_text(path, render_page(page))
