"""A word-line driver of one's own at transistor level: a string of resistors, a tree of switches and a buffer.

On the command line: spicesim calibrate own_driver.toml .., where that says dac.kind = "own_driver:StringDac", in the
folder that holds this file; as that is code that a file names, the user has to trust it once (SECURITY.md). Here Python
names it, which is the user's own word. The class says how the driver is built. Its codes and its loads are found in
ngspice, whole tiles are held against them, and audits do products again with its transistors.
"""

import spicesim
from spicesim.netlist.driver import Driver
from spicesim.netlist.process import block_text
from spicesim.network import digits_network, load_digits


class StringDac(Driver):
    """2^N equal resistors between the references; a tree of the library's switches picks a tap for the buffer."""

    words = "string DAC"

    def blocks(self, chip):
        dac, bits = chip.dac, chip.dac.bits
        lines = [f".subckt dac {' '.join(self.ports(chip))}"]
        taps = ["vlo", *(f"t0_{k}" for k in range(1, 2**bits)), "vhi"]
        lines += [f"r{k} {taps[k]} {taps[k + 1]} {dac.r_unit / 2**bits}" for k in range(2**bits)]
        nodes = taps[:-1]
        for k in range(bits):  # halves of what is left, from the least significant bit
            chosen = [f"t{k + 1}_{n}" for n in range(len(nodes) // 2)]
            lines += [
                f"xsw{k}_{n} {node} {nodes[2 * n]} {nodes[2 * n + 1]} b{k} vdd vss switch"
                f" w={dac.switch_width / 8} l={chip.process.min_length}"
                for n, node in enumerate(chosen)
            ]
            nodes = chosen
        lines.append(f"xbuffer {nodes[0]} out out vdd vss opamp ibias={dac.buffer_current} drive={dac.buffer_drive}")
        return [block_text("opamp", chip), block_text("switch", chip), "\n".join([*lines, ".ends dac"])]


def main():
    chip = spicesim.preset("generic-1t1r").changed(
        array={"rows": 16, "columns": 8}, dac={"kind": "own_driver:StringDac", "bits": 4}
    )
    calibration = spicesim.calibrate(chip, quick=True, aspects=())
    worst = max(check.max_error for check in calibration.checks)
    print(f"{len(calibration.checks)} whole tiles: at most {100 * worst:.5f} % of full scale off")
    plan = spicesim.RunPlan(audit=4)
    found = spicesim.run(plan, digits_network("mlp"), load_digits().x[:50], calibration)
    print(f"audit: at most {100 * found.first.audit.max_error:.5f} % of full scale off")
    assert found.first.audit.max_error < calibration.verdict.claim


if __name__ == "__main__":
    main()
