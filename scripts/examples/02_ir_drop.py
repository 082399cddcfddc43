"""A crossbar of nonlinear cells: where its voltage goes, and the same circuit in ngspice."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

import spicesim
from spicesim.ngspice.rawfile import read_raw


def main() -> None:
    """Print a coarse map of the IR drop, and compare the currents with plain ngspice."""
    rng = np.random.default_rng(1)
    crossbar = spicesim.Crossbar(
        rng.uniform(1e-6, 50e-6, (64, 64)), r_word_line=2.0, r_bit_line=2.0, cell=spicesim.cells.Sinh(kappa=3.0)
    )
    v = rng.uniform(0.05, 0.2, 64)
    solution = crossbar.solve(v, fields=True)
    assert solution.cell_voltages is not None
    lost = v[:, None] - solution.cell_voltages[0]
    print("voltage lost [mV], every 16th row and column (row 0 is farthest from the amplifiers):")
    for row in lost[::16, ::16] * 1e3:
        print("  " + " ".join(f"{x:6.2f}" for x in row))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "xbar.cir").write_text(crossbar.netlist(v))
        subprocess.run(["ngspice", "-b", "-r", "out.raw", "xbar.cir"], cwd=folder, check=True, capture_output=True)
        (plot,) = read_raw(Path(folder) / "out.raw")
    reference = np.array([plot.vectors[f"i(vsense_{j})"][0].real for j in range(64)])
    error = np.abs(solution.currents[0] / reference - 1).max()
    print(f"largest difference from ngspice: {error:.1e} of a current")
    assert error < 1e-7


if __name__ == "__main__":
    main()
