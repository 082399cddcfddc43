"""A converter of one's own at transistor level: a flash ADC, a comparator a level, in this one file.

A description names it, ``adc.kind = "own_flash:FlashAdc"``, in the folder that holds this file; as that is code that a
file names, the user has to trust it once (SECURITY.md). Here Python names it, which is the user's own word. The class
says what to simulate and how to read it. Its thresholds are found by bisection in ngspice and held against conversions
that took no part in it; networks then run through its codes, and audits end in those of its transistors.
"""

import dataclasses

import numpy as np

import spicesim
from spicesim.calibration.converter import Conversions, Converter
from spicesim.errors import SpecError
from spicesim.netlist.charge_dac import step_source
from spicesim.netlist.comparator import Clock, comparator_blocks, comparator_line
from spicesim.netlist.netlist import build_netlist
from spicesim.netlist.pace import PRECISE
from spicesim.netlist.sense_amplifier import supplies
from spicesim.network import digits_network, load_digits

CLOCK = Clock(period=20e-9)
AT_A_TIME = 16  # conversions in one simulation
UNIT = 500  # resistor of a step of the reference string [ohm]


class FlashAdc(Converter):
    """A string of resistors, and a comparator of the library at each of its taps."""

    unseen = "an ideal buffer in front of the ADC, its references, and the count of its comparators"

    def span(self, chip):
        return 0.8  # comparators with n-channel pairs do not decide near ground

    def conversions(self, chip, polarity, volts, draws=None):
        if draws is not None:
            raise SpecError("flash converters of drawn chips are not calibrated; run without mismatch")
        nodes = np.clip(chip.sense_amplifier.nodes(volts), 0, chip.process.supply)
        below = chip.sense_amplifier.output_range(polarity) == "unipolar"
        parts = [nodes[k : k + AT_A_TIME] for k in range(0, len(nodes), AT_A_TIME)]
        count = 2**chip.adc.bits - 1

        def read(results):
            high = []
            for (plot, *_), part in zip(results, parts, strict=True):
                ends = CLOCK.start + (np.arange(len(part)) + 0.45) * CLOCK.period
                time = plot.vectors["time"].real
                outputs = [np.interp(ends, time, plot.vectors[f"v(outp_{k})"].real) for k in range(count)]
                high.append((np.array(outputs) > chip.process.supply / 2).sum(axis=0))
            found = np.concatenate(high)  # codes rise with outputs: nodes of amplifiers fall
            return found if chip.sense_amplifier.kind == "voltage" else count - found

        return Conversions(netlists=tuple(self.netlist(chip, part, below) for part in parts), read=read)

    def netlist(self, chip, nodes, below):
        count, clock = 2**chip.adc.bits - 1, dataclasses.replace(CLOCK, cycles=len(nodes))
        middle = -self.span(chip) / 2 if below else 0.0
        lines = [
            clock.source("clk", "clk", chip.process.supply),
            step_source("in", "in", np.arange(len(nodes)) * clock.period, nodes.tolist(), clock.edge),
            f"vlow tap_low vref {middle - self.span(chip) / 2}",
            f"vhigh tap_high vref {middle + self.span(chip) / 2}",
        ]
        taps = ["tap_low", *(f"tap_{k}" for k in range(count)), "tap_high"]
        lines += [f"rstep_{k} {taps[k]} {taps[k + 1]} {UNIT}" for k in range(count + 1)]
        for k in range(count):
            lines.append(comparator_line(chip, f"comparator_{k}", "in", f"tap_{k}", "clk", f"outp_{k}", f"outn_{k}"))
            lines.append(f"cp_{k} outp_{k} 0 5f\ncn_{k} outn_{k} 0 5f")
        netlist = build_netlist(
            chip, f"{chip.adc.bits}-bit flash ADC", [*comparator_blocks(chip), supplies(chip), "\n".join(lines)],
            ["time", *(f"v(outp_{k})" for k in range(count))],
            analyses=[f".tran 0.1n {clock.stop} 0 0.2n"],
        )  # fmt: skip
        return dataclasses.replace(netlist, options=PRECISE)


def main():
    chip = spicesim.preset("generic-1t1r").changed(
        array={"rows": 16, "columns": 8}, adc={"kind": "own_flash:FlashAdc", "bits": 3}
    )
    calibration = spicesim.calibrate(chip, quick=True, aspects=("converter",))
    for polarity, check in calibration.converter.checks.items():
        print(f"{polarity}: {check.conversions} held-out conversions, {100 * check.identical:.1f} % the same code")
    plan = spicesim.RunPlan(audit=4)
    found = spicesim.run(plan, digits_network("mlp"), load_digits().x[:50], calibration)
    identical, _, worse = found.first.audit.codes
    print(f"audit: {100 * identical:.1f} % of codes those of the transistors, {100 * worse:.1f} % off by more than one")
    assert identical > 0.9
    assert worse == 0


if __name__ == "__main__":
    main()
