"""An engine of one's own: resistors and wires between ideal amplifiers, and nothing else.

On the command line: spicesim infer .. --engine own_engine:WiresOnly, in the folder that holds this file.
"""

import numpy as np

import spicesim
from spicesim.engine import Engine, PreparedTile


class WiredTile(PreparedTile):
    """A tile as one matrix."""

    def __init__(self, tile, chip):
        self.tile, self._dac = tile, chip.dac
        wires = {"r_word_line": chip.array.r_word_line, "r_bit_line": chip.array.r_bit_line}
        self._matrix = tile.r_feedback * spicesim.Crossbar(tile.g, **wires).transfer_matrix()

    def mvm(self, codes):
        return self._dac.volts(codes, self.tile.polarity) @ self._matrix.T


class WiresOnly(Engine):
    """Makes such tiles for the chip of a calibration."""

    name = "wires only"

    def __init__(self, calibration):
        self._chip = calibration.chip

    def prepare(self, tile):
        return WiredTile(tile, self._chip)


def main():
    chip = spicesim.preset("generic-1t1r").changed(array={"rows": 16, "columns": 16})
    calibration = spicesim.calibrate(chip, quick=True, aspects=())
    digits = spicesim.network.load_digits()
    for engine in ("ideal", "own_engine:WiresOnly", "exact"):
        plan = spicesim.RunPlan(engine=engine, gains=False)
        found = spicesim.run(plan, spicesim.network.digits_network("mlp"), digits.x[:50], calibration)
        snr = [layer.snr_db for layer in found.first.result.stats.layers]
        print(f"{engine}: {np.round(snr, 1)} dB")


if __name__ == "__main__":
    main()
