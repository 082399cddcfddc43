"""A folder of figures: each as data, CSV, SVG and PDF, and all on one page; what is there already is not made again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from tqdm import tqdm

from spicesim.behavioural.arrays import Model
from spicesim.errors import SpiceSimError
from spicesim.experiment.run import Subject
from spicesim.figures.catalogue import FIGURES
from spicesim.figures.study import Study
from spicesim.files import write_bytes, write_text
from spicesim.files.documents import read_json
from spicesim.network.loading import load_model
from spicesim.plots.chart import Chart, chart_csv, chart_file, plot_chart
from spicesim.provenance import code_hash
from spicesim.report.page import Column as Head
from spicesim.report.page import Facts, Illustration, Page, Section, Table, write_page
from spicesim.report.provenance import calibration_facts, provenance_section

__all__ = ["Drawn", "Sheet", "about", "draw_album", "find_chart"]

PAGE = "figures.html"
"""Name of the page."""


class Sheet(Model):
    """A chart as it is kept."""

    key: str
    """Hash of all that decides it."""
    chart: Chart
    """The chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What became of an album."""

    made: tuple[str, ...]
    """Figures that were made now."""
    kept: tuple[str, ...]
    """Figures that were there already."""
    left_out: dict[str, str]
    """Figures that were not made, each with the reason."""
    page: Path
    """The page."""


def draw_album(
    study: Study, names: Sequence[str], folder: str | Path, *, force: bool = False, progress: bool = False
) -> Drawn:
    """Make figures, and a page of them.

    Parameters
    ----------
    study : Study
        What they are made of.
    names : sequence of str
        Of :data:`~spicesim.figures.catalogue.FIGURES`.
    folder : str or Path
        Where; a figure is NAME.json, .csv, .svg and .pdf. A figure that is there with the same calibration, network,
        data, numbers and code is kept.
    force : bool
        Whether to make all anew.
    progress : bool
        Whether to show progress on stderr.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    place = Path(folder)
    charts: dict[str, Chart] = {}
    made, kept, left_out = [], [], {}
    decides = about(study)
    for name in tqdm(names, desc="figures", disable=not progress):
        if why := FIGURES[name].lacks(study):
            left_out[name] = why
            continue
        key = hashlib.sha256(json.dumps([name, *decides]).encode()).hexdigest()[:16]
        chart = None if force else find_chart(place / f"{name}.json", key)
        if chart is not None:
            kept.append(name)
        else:
            try:
                chart = FIGURES[name].make(study)
            except SpiceSimError as error:
                left_out[name] = str(error)
                continue
            made.append(name)
            write_text(place / f"{name}.json", Sheet(key=key, chart=chart).model_dump_json(indent=1) + "\n")
        charts[name] = chart
        write_text(place / f"{name}.csv", chart_csv(chart))
        for kind in ("svg", "pdf"):
            write_bytes(place / f"{name}.{kind}", chart_file(plot_chart(chart), kind))
    write_page(_page(study, charts, left_out), place / PAGE)
    return Drawn(made=tuple(made), kept=tuple(kept), left_out=left_out, page=place / PAGE)


def about(study: Study) -> list[Any]:
    """Return all that decides a figure, but for its name."""
    subject = None
    if study.model is not None and study.dataset is not None:
        subject = Subject.of(load_model(study.model), study.dataset, study.calibration).document()
    numbers = [study.chips, study.vectors, study.images, study.seed]
    return [study.calibration.hash, study.calibration.chip.hash, numbers, subject, code_hash()]


def find_chart(path: Path, key: str) -> Chart | None:
    """Return a chart that is there; None if there is none, or one of something else."""
    if not path.exists():
        return None
    try:
        sheet = Sheet.model_validate(read_json(path, "figure", "run again with --force"))
    except (SpiceSimError, ValidationError):  # not ours, or damaged: made again
        return None
    return sheet.chart if sheet.key == key else None


def _page(study: Study, charts: dict[str, Chart], left_out: dict[str, str]) -> Page:
    chip = study.calibration.chip
    facts = [("figures", f"{len(charts)}"), ("chips of a band", f"{study.chips}"), ("vectors", f"{study.vectors}")]
    if study.dataset is not None:
        facts.append(("inputs of the network", f"{study.images}"))
    groups = {"Products": [], "Devices": [], "Cost": [], "Networks": []}  # type: dict[str, list[Illustration]]
    for name, chart in charts.items():
        group = {"programming": "Devices", "drift": "Devices", "shares": "Cost"}.get(name, "Products")
        groups["Networks" if name.startswith("accuracy") else group].append(
            Illustration(title=chart.title, caption=chart.caption, figure=plot_chart(chart), tall=len(chart.panels) > 1)
        )
    sections = [
        Section(anchor=word.lower(), title=word, blocks=tuple(blocks)) for word, blocks in groups.items() if blocks
    ]
    if left_out:
        sections.append(
            Section(
                anchor="missing",
                title="Not drawn",
                blocks=(
                    Table(
                        caption="Figures that this calibration, or what was given with it, does not allow.",
                        columns=(Head(title="figure", text=True), Head(title="why", text=True)),
                        rows=tuple(left_out.items()),
                    ),
                ),
            )
        )
    return Page(
        title=chip.name,
        kind="Figures of an analog macro",
        text="Each figure is beside this page as NAME.pdf and NAME.svg, its numbers as NAME.csv and NAME.json.",
        facts=(Facts(items=tuple(facts), large=True), calibration_facts(study.calibration)),
        sections=(*sections, provenance_section(study.calibration.versions)),
    )
