"""Calibrate how integrators differ: drawn ones take steady currents, and hold columns of nominal cells at rest."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.integrator_mismatch import INTEGRATOR, IntegratorMismatch, line_basis
from spicesim.calibration.integrator import AT, SHORTEST
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, fit_response, with_chip_mismatch
from spicesim.calibration.quadratic import find_quadratic, with_quadratic
from spicesim.netlist.integrator import Window, build_integrators, build_resting_columns
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.pulses import PULSE_OPTIONS
from spicesim.ngspice.outcome import Results

__all__ = ["find_integrator_mismatch"]

CURRENTS = 4
"""Steady currents: what differs is small, and smooth in them."""
COMPONENTS = 4
"""Components of inputs and outputs together."""
TOGETHER = 8
"""Drawn integrators in one netlist, each a few times; of 20 each takes a fifth longer."""


def find_integrator_mismatch(bench: MismatchBench, held_out: int) -> IntegratorMismatch:
    """Find how inputs and outputs of integrators follow from the numbers of their devices.

    Parameters
    ----------
    bench : MismatchBench
        Of the chip.
    held_out : int
        Further integrators with numbers at random, by which the response is judged.
    """
    looks = _Looks(bench)
    design, others = bench.plan(bench.devices(looks.steady(1), f"{INTEGRATOR}_0"), held_out)
    (gains, inputs, pedestals), seen = looks.of(design, others)
    # a component of unit size is one of the most telling directions in which integrators differ
    added = np.concatenate([inputs, pedestals], axis=1)
    _, spread, directions = np.linalg.svd(added, full_matrices=False)
    components = directions[:COMPONENTS] * spread[:COMPONENTS, None] / np.sqrt(len(design))
    sizes = np.linalg.lstsq(components.T, added.T, rcond=None)[0].T
    names = ("gain [1]", *(f"component {k + 1} [1]" for k in range(len(components))))
    response = fit_response(INTEGRATOR, names, design, np.concatenate([gains[:, None], sizes], axis=1))
    # nearly all of the first component is the offset
    response = with_quadratic(response, 1, find_quadratic(bench, design.devices, looks.offsets), design, sizes[:, 0])
    of_lines = np.linalg.pinv(looks.basis)
    found = IntegratorMismatch(
        rows=looks.rows, g_cell=looks.g_cell, currents=looks.currents, inputs=components[:, :CURRENTS],
        pedestals=components[:, CURRENTS:] @ of_lines.T, response=response, residual=0.0,
    )  # fmt: skip
    rest = response.parameters(others.numbers)[:, 1:] @ components - np.concatenate(seen[1:], axis=1)
    return found.model_copy(update={"residual": float(np.abs(rest).max())})


class _Looks:
    """Looks at drawn integrators: at their inputs with steady currents, and at their outputs below lines at rest."""

    def __init__(self, bench: MismatchBench) -> None:
        model = bench.calibration.integrator
        assert model is not None
        self._bench, self._chip = bench, bench.calibration.chip
        cell = self._chip.cell
        self.rows, self.g_cell = self._chip.array.rows, cell.g_max
        limit = model.port.i_limit
        self.currents = np.linspace(-limit, limit, CURRENTS)
        self._window = Window(reset=20e-9, start=40e-9, length=SHORTEST, hold=self._chip.integrator.settle, edge=0.1e-9)
        # one cell, and all of them with either conductance
        self._cells = np.full((self.rows, 3), cell.g_max)
        self._cells[:-1, 0], self._cells[:, 1] = 0.0, cell.g_min
        self.basis = line_basis((self._cells != 0).sum(axis=0), self._cells.sum(axis=0), self.rows, self.g_cell)

    def steady(self, instances: int) -> Netlist:
        """Build instances that take all currents each."""
        netlist = build_integrators(
            self._chip, np.tile(self.currents, instances), window=self._window, block=INTEGRATOR[1:]
        )
        return replace(netlist, options=PULSE_OPTIONS)

    def resting(self, instances: int) -> Netlist:
        """Build instances below all columns each."""
        cells = np.tile(self._cells, instances)
        netlist = build_resting_columns(self._chip, cells, window=self._window, block=INTEGRATOR[1:])
        return replace(netlist, options=PULSE_OPTIONS)

    def offsets(self, integrators: Planned) -> Floats:
        """Return the offsets of drawn ones, by operating points in their reset, (integrators,) [V]."""
        parts = [range(k, min(k + TOGETHER, len(integrators))) for k in range(0, len(integrators), TOGETHER)]
        netlists = []
        for part in parts:
            plain = build_integrators(self._chip, np.zeros(len(part)), window=self._window, block=INTEGRATOR[1:])
            probes = tuple(f"v(out_{k})" for k in range(len(part)))
            netlists.append(self._drawn(replace(plain, analyses=(".op",), probes=probes), integrators, part.start, 1))
        found = self._bench.campaign.run(netlists, "integrator mismatch")
        volts = [[float(results[0].vectors[f"v(out_{k})"].real[0]) for k in range(len(part))]
                 for results, part in zip(found, parts, strict=True)]  # fmt: skip
        return np.concatenate(volts) - self._chip.sense_amplifier.v_reference

    def of(self, *groups: Planned) -> list[tuple[Floats, Floats, Floats]]:
        """Return what each group of drawn ones has more than the nominal one.

        Returns
        -------
        gains : ndarray of shape (integrators,)
            Output over charge, relative to the nominal one's [1].
        inputs : ndarray of shape (integrators, CURRENTS)
            Inputs [V].
        pedestals : ndarray of shape (integrators, columns)
            Outputs without charge [V].
        """
        nominal = Planned(devices=groups[0].devices, numbers=np.zeros((1, groups[0].numbers.shape[1])))
        every = (nominal, *groups)
        runs = self._run([(group, each) for each in (CURRENTS, len(self.basis)) for group in every])
        (own_in, own_out, _), *steady = runs[: len(every)]
        (_, rest, current), *resting = runs[len(every) :]
        slope = np.polyfit(self.currents, own_out.T, 1)[0]
        charged = self._window.length / self._chip.integrator.capacitor
        return [
            (np.polyfit(self.currents, v_out.T, 1)[0] / slope, v_in - own_in, held - rest - charged * (drawn - current))
            for (v_in, v_out, _), (_, held, drawn) in zip(steady, resting, strict=True)
        ]

    def _run(self, looks: Sequence[tuple[Planned, int]]) -> list[tuple[Floats, Floats, Floats]]:
        """Return inputs above and outputs below the reference [V], and currents [A], each (integrators, each)."""
        netlists, counts = [], []
        for integrators, each in looks:
            for first in range(0, len(integrators), TOGETHER):
                count = min(TOGETHER, len(integrators) - first)
                netlist = self.steady(count) if each == CURRENTS else self.resting(count)
                netlists.append(self._drawn(netlist, integrators, first, each))
                counts.append(each * count)
        results = self._bench.campaign.run(netlists, "integrator mismatch")
        read = iter([self._read(found, count) for found, count in zip(results, counts, strict=True)])
        seen = []
        for integrators, each in looks:
            parts = [next(read) for _ in range(0, len(integrators), TOGETHER)]
            v_in, v_out, current = (np.concatenate(values).reshape(-1, each) for values in zip(*parts, strict=True))
            seen.append((v_in, v_out, current))
        return seen

    def _drawn(self, netlist: Netlist, integrators: Planned, first: int, each: int) -> Netlist:
        """Draw the integrators of a netlist, each of which is there a few times; all else stays nominal."""

        def draw(path: str) -> tuple[float, float]:
            block, _, device = path.partition(".")
            name, _, k = block.rpartition("_")
            if name != INTEGRATOR:
                return 0.0, 0.0
            return integrators(f"{INTEGRATOR}_{first + int(k) // each}.{device}")

        return with_chip_mismatch(netlist, self._bench.calibration, draw)

    def _read(self, results: Results, count: int) -> tuple[Floats, Floats, Floats]:
        vectors, reference, window = results[0].vectors, self._chip.sense_amplifier.v_reference, self._window
        time, within = vectors["time"].real, window.start + AT * window.length

        def at(probe: str, when: float) -> Floats:
            return np.array([np.interp(when, time, vectors[f"{probe}_{k})"].real) for k in range(count)])

        currents = at("i(vsense", within) if "i(vsense_0)" in vectors else np.zeros(count)
        return at("v(in", within) - reference, reference - at("v(out", window.end + window.hold), currents
