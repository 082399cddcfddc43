"""Calibrate how buffers differ: drawn ones behind the same voltages."""

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.buffer import BUFFER, BufferMismatch
from spicesim.calibration.buffer import BEYOND, read_followed
from spicesim.calibration.designs import chebyshev_nodes
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, fit_response, with_chip_mismatch
from spicesim.calibration.quadratic import find_quadratic, with_quadratic
from spicesim.netlist.buffer import build_buffers
from spicesim.netlist.mismatch import Draw

__all__ = ["buffer_offsets", "find_buffer_mismatch"]

VOLTS = 3
"""Voltages that each follows: an offset, a gain, and a little of a bend."""
AT_A_TIME = 10
"""Buffers in one netlist; in larger ones one that hardly converges delays all others."""


def find_buffer_mismatch(bench: MismatchBench, held_out: int) -> BufferMismatch:
    """Find how what buffers add follows from their devices' numbers.

    Parameters
    ----------
    bench : MismatchBench
        Of the chip.
    held_out : int
        Further buffers with numbers at random, by which the response is judged, at voltages drawn at random.
    """
    chip = bench.calibration.chip
    limit = BEYOND * chip.dac.v_span
    volts = chebyshev_nodes(-limit, limit, VOLTS)
    design, others = bench.plan(bench.devices(build_buffers(chip, [0.0]), f"{BUFFER}_0"), held_out)
    through = np.linalg.inv(np.vander(volts / limit, increasing=True))
    names = tuple(f"of voltage^{k} [V]" for k in range(VOLTS))
    powers = _added(bench, volts, design) @ through.T
    quadratic = find_quadratic(bench, design.devices, lambda buffers: buffer_offsets(bench, buffers))
    response = with_quadratic(fit_response(BUFFER, names, design, powers), 0, quadratic, design, powers[:, 0])
    drawn = np.random.default_rng([bench.campaign.seed, 43]).uniform(-limit, limit, VOLTS)
    predicted = response.parameters(others.numbers) @ np.vander(drawn / limit, VOLTS, increasing=True).T
    rest = _added(bench, drawn, others) - predicted
    return BufferMismatch(v_limit=limit, response=response, residual=float(np.abs(rest).max()))


def buffer_offsets(bench: MismatchBench, buffers: Planned) -> Floats:
    """Find what each buffer adds to the nominal one's output at the reference, (buffers,) [V]."""
    return _added(bench, np.zeros(1), buffers)[:, 0]


def _added(bench: MismatchBench, volts: Floats, buffers: Planned) -> Floats:
    """Return what each buffer adds to the nominal one's output at each voltage, (buffers, voltages) [V]."""
    chip, count = bench.calibration.chip, len(volts)

    def drawn(first: int) -> Draw:
        def draw(path: str) -> tuple[float, float]:
            block, _, device = path.partition(".")
            k = first + int(block.rpartition("_")[2]) // count
            return buffers(f"{BUFFER}_{k}.{device}") if block.startswith(BUFFER) else (0.0, 0.0)

        return draw

    parts = [range(k, min(k + AT_A_TIME, len(buffers))) for k in range(0, len(buffers), AT_A_TIME)]
    netlists = [with_chip_mismatch(build_buffers(chip, volts), bench.calibration, lambda path: (0.0, 0.0))]
    netlists += [
        with_chip_mismatch(build_buffers(chip, np.tile(volts, len(part))), bench.calibration, drawn(part.start))
        for part in parts
    ]
    own, *found = bench.campaign.run(netlists, "buffer mismatch")
    nominal = read_followed(chip, own, count)
    each = [
        read_followed(chip, results, count * len(part)).reshape(-1, count)
        for part, results in zip(parts, found, strict=True)
    ]
    return np.asarray(np.concatenate(each) - nominal)
