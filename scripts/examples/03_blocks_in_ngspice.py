"""Two blocks of a chip, simulated: the steps of its DAC and the gain of its sense amplifier."""

import numpy as np

import spicesim
from spicesim.ngspice import SharedSimulator


def main() -> None:
    """Print integral nonlinearity and transimpedance of the generic chip."""
    chip = spicesim.preset("generic-1t1r")
    ngspice = SharedSimulator()
    (plot,) = ngspice.run(spicesim.netlist.build_dac(chip))
    out = plot.vectors["v(out)"].real
    codes = np.arange(len(out))
    ends = out[0] + (out[-1] - out[0]) * codes / codes[-1]
    print(f"DAC: {out[-1] - out[0]:.5f} V span, INL {np.abs(out - ends).max() / (ends[1] - ends[0]):.3f} LSB")
    (plot,) = ngspice.run(spicesim.netlist.build_sense_amplifier(chip, 20e3, 50e-6))
    current = np.linspace(-50e-6, 50e-6, plot.points)
    gain = -np.polyfit(current, plot.vectors["v(out)"].real, 1)[0]
    print(f"TIA: {gain:.1f} ohm of 20000")
    assert abs(gain / 20e3 - 1) < 0.01


if __name__ == "__main__":
    main()
