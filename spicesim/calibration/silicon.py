"""Fit parameters to tables of measurements: what ngspice gives elsewhere, measured on silicon.

A table is a CSV file. Its first line names the columns, each with its unit behind the last underscore: V, A, S or ohm,
with an SI prefix if you like (``v_out_mV``, ``current_uA``). Lines that start with ``#`` and empty lines are skipped.
The columns tell what was measured:

======== ===================================== ================ =====================================================
table    columns                               optional         a line is
======== ===================================== ================ =====================================================
array    v_0_V, v_1_V .. (one a row),                           one vector: source voltages above the virtual ground,
         i_0_A, i_1_A .. (one a column)                         currents into it; a current may be empty: not measured
senseamp current_A, v_out_V, v_reference_V     v_in_V           one current into the virtual ground; voltages to ground
dac      code, v_out_V, v_reference_V          load_A           one code, and the current drawn from the output
cell     g_S, v_V, current_A                   u_V              one bias point: device conductance, voltage across the
                                                                cell, bit line above the reference (with an access
                                                                transistor only)
======== ===================================== ================ =====================================================
"""

import csv
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import Model
from spicesim.calibration.fit import Fit, Loss
from spicesim.calibration.laws import fit_access_cell, fit_amplifier, fit_bare_cell, fit_driver, fit_rails
from spicesim.calibration.mistakes import refuse_gain, refuse_misfit
from spicesim.calibration.wires import fit_wires
from spicesim.cells import Cell
from spicesim.errors import CalibrationError, SpecError
from spicesim.metrics import rms
from spicesim.provenance import now, versions
from spicesim.units import parse_quantity

__all__ = ["Measurements", "SiliconFit", "fit_measurements", "read_measurements"]

_TABLES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "senseamp": ({"current": "A", "v_out": "V", "v_reference": "V"}, {"v_in": "V"}),
    "dac": ({"code": "", "v_out": "V", "v_reference": "V"}, {"load": "A"}),
    "cell": ({"g": "S", "v": "V", "current": "A"}, {"u": "V"}),
}
"""Wanted and optional columns with their units, by kind; an array has as many as it has lines."""

_BEARABLE = {"V": 30.0, "A": 1.0, "S": 1.0}
"""Most that is believed, by unit."""

_HEAD = re.compile(r"(\w+)_((?:meg|Meg|[afpnuµmkMG])?)(V|A|S|ohm)")
_LINE = re.compile(r"([vi])_(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurements:
    """A table of measurements in SI units."""

    source: str
    """Where it came from, for messages."""
    kind: Literal["array", "senseamp", "dac", "cell"]
    """What was measured."""
    columns: dict[str, Floats]
    """By name without unit, each of shape (points,); NaN only where an array's current was not measured."""
    notes: tuple[str, ...] = ()
    """What was found in the file, to be said of every fit."""

    def lines(self, letter: Literal["v", "i"]) -> Floats:
        """Return an array's voltages (points, rows) or currents (points, columns)."""
        count = sum(name.startswith(f"{letter}_") for name in self.columns)
        return np.stack([self.columns[f"{letter}_{k}"] for k in range(count)], axis=1)


class SiliconFit(Model):
    """Parameters fitted to one table, as a file."""

    schema_version: Literal[1] = 1
    """Version of this file's format."""
    source: str
    """The table."""
    sha256: str
    """Its hash."""
    created: str
    """When, UTC."""
    versions: dict[str, str]
    """Of every package with a say."""
    fits: dict[str, Fit]
    """By block."""

    @classmethod
    def of(cls, path: str | Path, fits: dict[str, Fit]) -> "SiliconFit":
        """Note where the numbers come from."""
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return cls(source=str(path), sha256=digest, created=now(), versions=versions(), fits=fits)


def read_measurements(path: str | Path) -> Measurements:
    """Read a table; this module's text says which there are.

    Raises
    ------
    SpecError
        If the file cannot be read, the columns are those of no table, or a line is bad; the message names the line.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if any(f.strip() for f in row) and row[0][:1] != "#"]
    except FileNotFoundError:
        raise SpecError(f"no table of measurements {path}; for the columns see: spicesim fit --help") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"cannot read {path}: {error}; wanted a CSV file") from None
    if len(rows) < 2:
        raise SpecError(f"{path} holds no measurement; wanted a line of column names, and a line a measurement below")
    (line, head), *body = rows
    names, factors = _parse_head([name.strip() for name in head], f"{path}, line {line}")
    kind = _find_kind(names, f"{path}, line {line}")
    table = np.empty((len(body), len(names)))
    for k, (line, row) in enumerate(body):
        table[k] = _parse_line(row, names, factors, kind, f"{path}, line {line}")
    _refuse_sizes(names, table, str(path))
    table, copies = _drop_copies(table)
    first = ", ".join(str(body[k][0]) for k in copies[:5]) + (", .." if len(copies) > 5 else "")
    notes = (f"{len(copies)} lines repeat another to the last digit and count once: {first}",) if len(copies) else ()
    columns = dict(zip(names, table.T.copy(), strict=True))
    return Measurements(source=str(path), kind=kind, columns=columns, notes=notes)


def _drop_copies(table: Floats) -> tuple[Floats, list[int]]:
    """Return the lines without copies of earlier ones, and the places of the copies."""
    _, places = np.unique(np.where(np.isnan(table), np.inf, table), axis=0, return_index=True)
    copies = sorted(set(range(len(table))) - set(places.tolist()))
    return table[np.sort(places)], copies


def _refuse_sizes(names: Sequence[str], table: Floats, where: str) -> None:
    """Refuse numbers that no chip bears; they were written in a smaller unit."""
    for name, column in zip(names, table.T, strict=True):
        unit = _unit(name)
        size = float(np.nanmax(np.abs(column), initial=0.0))
        if unit in _BEARABLE and size > _BEARABLE[unit]:
            prefixes = {"V": "m", "A": "u", "S": "u"}
            raise SpecError(
                f"{where}: {name} reaches {size:g} {unit}, and no chip bears more than {_BEARABLE[unit]:g} {unit}; "
                f"if it is in m{unit} or {prefixes[unit]}{unit}, name the column so, as {name}_{prefixes[unit]}{unit}"
            )


def _parse_head(head: Sequence[str], where: str) -> tuple[list[str], list[float]]:
    names, factors = [], []
    for word in head:
        match = _HEAD.fullmatch(word)
        if match is None and word != "code":
            raise SpecError(f"{where}: column {word!r} has no unit; wanted a name such as v_out_V or current_uA")
        name, prefix, unit = match.groups() if match else (word, "", "")
        wanted = _unit(name)
        if wanted is None:
            raise SpecError(f"{where}: unknown column {word!r}; for the columns see: spicesim fit --help")
        if unit != wanted:
            raise SpecError(f"{where}: column {word!r} has the wrong unit; wanted {name}_{wanted}")
        if name in names:
            raise SpecError(f"{where}: column {name!r} stands there twice; remove one")
        names.append(name)
        factors.append(parse_quantity(f"1 {prefix}") if prefix else 1.0)
    return names, factors


def _unit(name: str) -> str | None:
    """Return the unit of a column, None if there is no such column."""
    if (match := _LINE.fullmatch(name)) is not None:
        return "V" if match[1] == "v" else "A"
    return next((part[name] for table in _TABLES.values() for part in table if name in part), None)


def _find_kind(names: Sequence[str], where: str) -> Literal["array", "senseamp", "dac", "cell"]:
    found = set(names)
    lines = [_LINE.fullmatch(name) for name in names]
    if all(lines):
        counts = {letter: sum(m is not None and m[1] == letter for m in lines) for letter in "vi"}
        expected = {f"{letter}_{k}" for letter, count in counts.items() for k in range(count)}
        if all(counts.values()) and found == expected:
            return "array"
        raise SpecError(f"{where}: an array needs columns v_0_V, v_1_V .. and i_0_A, i_1_A .. without a gap")
    for kind, (wanted, optional) in _TABLES.items():
        if set(wanted) <= found <= {*wanted, *optional}:
            return kind  # type: ignore[return-value]
    choices = "; ".join(
        f"{kind}: " + ", ".join(f"{name}_{unit}".rstrip("_") for name, unit in wanted.items())
        for kind, (wanted, _) in _TABLES.items()
    )
    raise SpecError(f"{where}: columns {', '.join(names)} are those of no table; wanted {choices}; or an array's")


def _parse_line(row: Sequence[str], names: Sequence[str], factors: Sequence[float], kind: str, where: str) -> Floats:
    if len(row) != len(names):
        raise SpecError(f"{where}: {len(row)} fields, wanted {len(names)}, one a column; mend or remove the line")
    values = np.empty(len(names))
    for k, (name, text) in enumerate(zip(names, row, strict=True)):
        if kind == "array" and name.startswith("i_") and not text.strip():
            values[k] = math.nan
            continue
        try:
            values[k] = float(text) * factors[k]
        except ValueError:
            raise SpecError(f"{where}: {name} is no number but {text.strip()!r}; mend or remove the line") from None
        if not math.isfinite(values[k]):
            raise SpecError(f"{where}: {name} is not finite, {text.strip()}; mend or remove the line")
        if name == "code" and not (values[k] >= 0 and values[k].is_integer()):
            raise SpecError(f"{where}: a code is a whole number from 0 on, got {text.strip()}; mend or remove the line")
        if name == "g" and not values[k] > 0:
            raise SpecError(f"{where}: a conductance must be > 0 S, got {text.strip()}; mend or remove the line")
    return values


def fit_measurements(
    measured: Measurements,
    *,
    conductances: npt.ArrayLike | None = None,
    cell: Cell | None = None,
    wanted: Sequence[str] = ("r_word_line", "r_bit_line"),
    known: Mapping[str, float] | None = None,
    loss: Loss = "linear",
    g_error: float | None = None,
) -> dict[str, Fit]:
    """Fit the parameters of what was measured, by the same laws as a calibration against ngspice.

    Parameters
    ----------
    measured : Measurements
        The table.
    conductances : array_like of shape (rows, columns), optional
        Of an array's devices [S]; an array needs them.
    cell : Cell, optional
        Law of an array's cells; linear by default.
    wanted, known, g_error
        Of an array, as :func:`spicesim.calibration.wires.fit_wires`.
    loss : {"linear", "soft_l1", "huber"}
        What to minimise; the robust ones forgive outliers.

    Returns
    -------
    dict of Fit
        By block.

    Raises
    ------
    SpecError, CalibrationError
        If the table lacks something, or the fit fails; the message names the table.
    """
    try:
        if measured.kind == "array":
            if conductances is None:
                raise SpecError("the currents of an array need its conductances; give them by --conductance G.npy")
            v, i = measured.lines("v"), measured.lines("i")
            fit = fit_wires(conductances, v, i, cell=cell, wanted=wanted, known=known, loss=loss, g_error=g_error)
            fits = {"array": fit}
        else:
            fits = _BLOCKS[measured.kind](measured.columns, loss)
    except (SpecError, CalibrationError) as error:
        raise type(error)(f"{measured.source}: {error}") from None
    return {name: fit.model_copy(update={"warnings": (*fit.warnings, *measured.notes)}) for name, fit in fits.items()}


def _fit_senseamp(columns: Mapping[str, Floats], loss: Loss) -> dict[str, Fit]:
    order = np.argsort(columns["current"], kind="stable")
    i, reference = columns["current"][order], columns["v_reference"][order]
    v_out = reference - columns["v_out"][order]
    v_in = columns["v_in"][order] - reference if "v_in" in columns else None
    if not (i[0] < 0 < i[-1]):
        raise SpecError(f"currents run from {i[0]:g} to {i[-1]:g} A; wanted both signs, around zero")
    inner = np.abs(v_out) < 0.5 * float(np.abs(v_out).max())
    if np.count_nonzero(inner) < 3:
        raise CalibrationError("fewer than 3 outputs lie within half of the swing; measure more small currents")
    r_feedback = float(np.polyfit(i[inner], v_out[inner], 1)[0])
    if r_feedback <= 0:
        raise SpecError("the output rises with the current; wanted currents positive into the virtual ground")
    fits = {"TIA": _sound(fit_amplifier(i, v_out, v_in, r_feedback=r_feedback, loss=loss), v_out)}
    reached = np.abs(r_feedback * i) > 1.2 * float(np.abs(v_out).max())
    if np.count_nonzero(reached) >= 5:
        fits["TIA rails"] = fit_rails(i, v_out, r_feedback=r_feedback, loss=loss)
    return fits


def _fit_dac(columns: Mapping[str, Floats], loss: Loss) -> dict[str, Fit]:
    codes, volts = columns["code"], columns["v_out"] - columns["v_reference"]
    bits = max(1, int(codes.max()).bit_length())
    span = float(np.ptp(volts))
    if span <= 0:
        raise SpecError("all outputs are equal; wanted those of several codes")
    load = columns.get("load", np.zeros_like(volts))
    return {"DAC": _sound(fit_driver(codes, load, volts, bits=bits, v_span=span, loss=loss), volts)}


def _fit_cell(columns: Mapping[str, Floats], loss: Loss) -> dict[str, Fit]:
    g, v, current = columns["g"], columns["v"], columns["current"]
    if not (np.any(v) and np.any(current)):
        raise SpecError("all voltages or all currents are 0; wanted bias points of a cell in use")
    gain = float(current @ (g * v)) / float((g * v) @ (g * v))
    if gain < 0:
        raise SpecError("the current falls with the voltage; wanted it positive where the voltage across the cell is")
    sizes = {"voltages": v, "conductances": g, "currents": current}
    refuse_gain(gain, {name: float(np.abs(values).max()) for name, values in sizes.items()})
    if "u" in columns:
        return {"cell": _sound(fit_access_cell(g, v, columns["u"], current, loss=loss), current)}
    return {"cell": _sound(fit_bare_cell(g, v, current, loss=loss), current)}


def _sound(fit: Fit, measured: Floats) -> Fit:
    """Return a fit that explains its data."""
    if fit.loss == "linear":  # outliers may be as large as they like
        refuse_misfit(fit.rms / (rms(measured) or 1.0))
    return fit


_BLOCKS = {"senseamp": _fit_senseamp, "dac": _fit_dac, "cell": _fit_cell}
