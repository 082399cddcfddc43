"""A cell of one's own: a flash cell in place of device and access transistor, in this one file: own_cell/cell_1t1r.cir.

A description names the folder, ``library = "own_cell"``: a subcircuit there stands in for that of the library with the
same name and ports. It is data, so there is nothing to trust. On the command line: spicesim calibrate chip.toml ..
Current against voltage, bit line and conductance is found in ngspice, whole tiles are held against it, and audits do
products again with these cells.
"""

from pathlib import Path

import spicesim
from spicesim.network import digits_network, load_digits


def main():
    chip = spicesim.preset("generic-1t1r").changed(
        library=str(Path(__file__).parent / "own_cell"),
        array={"rows": 16, "columns": 8},
        cell={"g_min": 20e-6, "g_max": 60e-6, "access_width": 0.4e-6, "access_length": 2e-6, "v_read": 0.05},
        dac={"v_span": 0.05},  # so that no channel pinches off
    )
    calibration = spicesim.calibrate(chip, quick=True, aspects=())
    worst = max(check.max_error for check in calibration.checks)
    print(f"{len(calibration.checks)} whole tiles: at most {100 * worst:.5f} % of full scale off")
    found = spicesim.run(spicesim.RunPlan(audit=4), digits_network("mlp"), load_digits().x[:50], calibration)
    print(f"audit: at most {100 * found.first.audit.max_error:.5f} % of full scale off")
    assert found.first.audit.max_error < calibration.verdict.claim


if __name__ == "__main__":
    main()
