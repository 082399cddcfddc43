"""Layout files: GDSII or OASIS, by their ending."""

from pathlib import Path

import klayout.db as db

from spicesim.errors import SpecError
from spicesim.files import write_bytes

__all__ = ["read_layout", "write_layout"]

FORMATS = {".gds": "GDS2", ".oas": "OASIS"}


def write_layout(layout: db.Layout, path: str | Path) -> None:
    """Write a layout, whole or not at all; the same layout makes the same bytes.

    Raises
    ------
    SpecError
        If the ending says no format.
    StorageError
        If the file cannot be written.
    """
    options = db.SaveLayoutOptions()
    options.format = _format(path)
    options.gds2_write_timestamps = False
    write_bytes(path, layout.write_bytes(options))


def read_layout(path: str | Path) -> db.Layout:
    """Read a layout.

    Raises
    ------
    SpecError
        If it is no layout of one top cell with a database unit of 1 nm.
    """
    _format(path)
    layout = db.Layout()
    try:
        layout.read(str(path))
    except RuntimeError as error:
        raise SpecError(f"cannot read the layout {path}: {error}") from None
    tops = [cell.name for cell in layout.top_cells()]
    if len(tops) != 1 or abs(layout.dbu - 0.001) > 1e-9:
        raise SpecError(
            f"{path}: wanted one top cell and a database unit of 0.001 um, got the cells {', '.join(tops) or 'none'} "
            f"and {layout.dbu:g} um; write it again with 'spicesim layout array'"
        )
    return layout


def _format(path: str | Path) -> str:
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise SpecError(f"{path}: the ending of a layout says its format; end it in {' or '.join(FORMATS)}")
    return FORMATS[ending]
