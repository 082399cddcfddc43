"""A block of one's own with a data sheet: a source follower, its circuit, testbenches and record in this one file.

On the command line: spicesim characterise own_block:FOLLOWER --chip gf180-1t1r --corner ss --samples 20, and all other
options of that command, in the folder that holds this file. Transistors nch and pch become those of the chip's process.
"""

import numpy as np

import spicesim
from spicesim.characterise import Bench, Block, Conditions
from spicesim.characterise.bench import Measurement, waves
from spicesim.characterise.sheet import entry
from spicesim.netlist.netlist import build_netlist
from spicesim.netlist.process import circuit_text
from spicesim.netlist.sense_amplifier import supplies

CIRCUIT = """* follower: p-channel source follower with a current source of the same kind
.subckt follower in out vdd ibias=20u w=40u l=0.5u
m1  0    in  out  out  pch  w={w} l={l}
m2  out  b   vdd  vdd  pch  w={w} l={l}
m3  b    b   vdd  vdd  pch  w={w} l={l}
ib  b    0   {ibias}
.ends follower"""


def follower_bench(chip):
    """Sweep its input, and find small signals around .8 V into 1 pF."""
    lines = "vin in 0 dc 0.8 ac 1\nxdut in out vdd follower\ncload out 0 1p"
    parts, points = [circuit_text(CIRCUIT, chip), supplies(chip), lines], ["v(in)", "v(out)", "i(vdd)"]
    sweep, response = [".dc vin 0 2 0.02"], [".ac dec 20 1meg 100g"]
    netlists = {
        "sweep": build_netlist(chip, "follower, swept", parts, points, analyses=sweep),
        "response": build_netlist(chip, "follower, response", parts, ["frequency", "v(out)"], analyses=response),
    }

    def measure(results):
        def swept(name):
            found = waves(results["sweep"])
            return np.interp(0.8, found["v(in)"], found[name])

        def gain():
            found = waves(results["sweep"])
            return np.interp(0.8, found["v(in)"], np.gradient(found["v(out)"], found["v(in)"]))

        def bandwidth():
            (plot,) = results["response"]
            size = np.abs(plot.vectors["v(out)"])
            return np.interp(-size[0] / np.sqrt(2), -size, plot.vectors["frequency"].real)

        entries = (
            entry("shift", "shift of the level", lambda: swept("v(out)") - 0.8, "V", "input .8 V"),
            entry("gain", "gain", gain, "1", "input .8 V"),
            entry("bandwidth", "bandwidth", bandwidth, "Hz", "1 pF"),
            entry("power", "power", lambda: -chip.process.supply * swept("i(vdd)"), "W"),
        )
        return Measurement(entries=entries)

    return Bench(block="follower", title="source follower", netlists=netlists, measure=measure, varied=("sweep",))


FOLLOWER = Block(
    name="follower", section="", title="source follower", sheet="shift, gain, bandwidth, power", bench=follower_bench
)


def main():
    chip = spicesim.preset("generic-1t1r")
    sheet = FOLLOWER.bench(chip).run(chip, Conditions(samples=5, seed=1))
    for found in sheet.entries:
        print(f"{found.text}: {found.format_value(found.value)}")
    assert not sheet.failures
    assert 0.9 < next(found.value for found in sheet.entries if found.key == "gain") < 1


if __name__ == "__main__":
    main()
