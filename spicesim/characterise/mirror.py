"""Data sheet of the current-mirror readout."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.steps import Step
from spicesim.characterise.waveform import crossing, settling_time
from spicesim.chip import Chip
from spicesim.chip.blocks import Mirror
from spicesim.netlist.mirror import build_mirror, build_mirror_step
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["mirror_bench"]

_LIMIT = 100e-6
_COLUMN = 10e3


def mirror_bench(chip: Chip, sizes: Mirror | None = None) -> Bench:
    """Build the testbench of the current-mirror readout."""
    sizes = sizes or chip.mirror
    netlists = {
        "transfer": build_mirror(chip, _LIMIT, sizes=sizes),
        "output": build_mirror(chip, _LIMIT / 2, sizes=sizes, output=True, points=331),
        "step": build_mirror_step(chip, _LIMIT / 4, 3 * _LIMIT / 4, sizes=sizes, r_column=_COLUMN),
    }
    reference = chip.sense_amplifier.v_reference
    step = Step(probe="i(vout)", start=100e-9, band=0.001 * _LIMIT)
    i = _LIMIT * np.arange(1, 101) / 100
    half = len(i) // 2

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def swept() -> dict[str, Floats]:
            return waves(results["transfer"])

        def ratio() -> Floats:
            return -swept()["i(vout)"] / i / sizes.ratio

        @cache
        def output() -> tuple[Floats, Floats]:
            found = waves(results["output"])
            return found["v(out)"], -found["i(vout)"]

        def r_out() -> float:
            v, out = output()
            return float(1 / np.interp(reference, v, np.gradient(out, v)))

        def compliance() -> float:
            v, out = output()
            line = np.interp(reference, v, out) - (reference - v) / r_out()  # how the copy would go on in saturation
            return crossing(v, out / line, 0.99, rising=True)

        @cache
        def stepped() -> dict[str, Floats]:
            return waves(results["step"])

        def settle() -> float:
            return settling_time(stepped()["time"], stepped()["i(vout)"], step.start, step.band, "the mirror")

        at = f"at {format_si(_LIMIT / 2, 'A')}"
        entries = (
            entry(
                "ratio_error",
                "error of the copy",
                lambda: 100 * (ratio()[half - 1] - 1),
                "%",
                f"{at}, out at the reference",
            ),
            entry("ratio_change", "change of the copy", lambda: 100 * np.ptp(ratio()[4:]), "%", "5 to 100 uA"),
            entry("offset", "offset of the virtual ground", lambda: swept()["v(in)"][half] - reference, "V", at),
            entry("r_in", "input resistance", lambda: np.gradient(swept()["v(in)"], i)[half], "ohm", at),
            entry("r_out", "output resistance", r_out, "ohm", at),
            entry("compliance", "lowest output voltage", compliance, "V", f"copy within 1 %, {at}"),
            entry("t_settle", "settling", settle, "s", f"0.1 % of full scale, column {format_si(_COLUMN, 'ohm')}"),
            entry("power", "power of the amplifier", lambda: -chip.process.supply * swept()["i(vdd)"][half], "W"),
        )
        panels = draw_panels(
            lambda: Panel(
                title="copy", x=i, x_label="current into the bit line [A]", y_label="error of the copy [%]",
                curves={"copy": 100 * (ratio() - 1)},
            ),
            lambda: Panel(
                title="output", x=output()[0], x_label="output voltage [V]", y_label="output current [A]",
                curves={"copy": output()[1]},
            ),
            lambda: Panel(
                title="step", x=stepped()["time"], x_label="time [s]", y_label="output current [A]",
                curves={"copy": -stepped()["i(vout)"]},
            ),
        )  # fmt: skip
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block="mirror",
        title=f"current-mirror readout, 1:{sizes.ratio}",
        netlists=netlists,
        measure=measure,
        varied=("transfer",),
        steps={"step": step},
    )
