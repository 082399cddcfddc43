"""Chip descriptions that were edited or damaged: loaded, written again, netlists of tiles and a plan made of them."""

import random
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import tomlkit

from fuzz.files import FileCase, judge_file
from fuzz.mutations import mutate, spoil
from fuzz.verdict import Verdict
from spicesim.calibration.plan import plan_calibration
from spicesim.chip import format_chip, load_chip, preset
from spicesim.netlist import build_crossbar, build_tile

SIZE = {"rows": 4, "columns": 4}
USE = (
    "import numpy as np, spicesim\nfrom spicesim.calibration.plan import plan_calibration\n"
    "from spicesim.netlist import build_tile\nchip = spicesim.load_chip('chip.toml')\nprint(chip.hash)\n"
    "g, r_feedback = np.full((2, 2), chip.cell.g_max), chip.sense_amplifier.r_feedback[0]\n"
    "build_tile(chip, g, [0, 1], polarity='unipolar', r_feedback=r_feedback).format()\n"
    "plan_calibration(chip, quick=True)\n"
)


@cache
def texts() -> tuple[str, ...]:
    plain = preset("generic-1t1r").changed(array=SIZE)
    wires = {"width": "27 nm", "thickness": "22 nm", "length": "108 nm", "height": "30 nm", "pitch": "60 nm"}
    bare = preset("generic-1t1r").changed(array=SIZE, cell={"kind": "1r", "kappa": 0.0})
    rich = tomllib.loads(format_chip(plain))
    rich["array"] |= {"r_word_line": wires, "c_word_line": wires}
    rich["sar_adc"] = {"sample": "20n", "dac": {"bits": 6, "errors": [0.0] * 6}, "comparator": {"input_width": "4u"}}
    rich["charge_dac"] = {"bits": 4, "unit": "20 fF"}
    selector = preset("generic-1t1r").changed(array=SIZE, cell={"kind": "1s1r"})
    pair = preset("generic-1t1r").changed(array=SIZE, cell={"kind": "2t2r"})
    return (*(format_chip(chip) for chip in (plain, bare, selector, pair)), tomlkit.dumps(rich))


def case(seed: int) -> FileCase:
    rng = random.Random(seed)
    text = rng.choice(texts())
    if rng.random() < 0.3:
        data, done = spoil(text.encode(), rng)
        return FileCase(data, done, "chip.toml", USE)
    document = tomllib.loads(text)
    done = "; ".join(mutate(document, rng) for _ in range(rng.choice([1, 1, 1, 2, 4])))
    try:
        data = tomlkit.dumps(document).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, RecursionError, tomlkit.exceptions.TOMLKitError):  # TOML has no such values
        data, done = spoil(text.encode(), rng)
    return FileCase(data, done, "chip.toml", USE)


def use(path: Path) -> None:
    chip = load_chip(path)
    assert len(chip.hash) == 16
    format_chip(chip)
    rows, columns = min(2, chip.array.rows), min(2, chip.array.columns)
    g = np.full((rows, columns), chip.cell.g_max)
    build_crossbar(chip, g, np.full(rows, chip.dac.v_span)).format()
    build_tile(chip, g, [1] * rows, polarity="bipolar", r_feedback=chip.sense_amplifier.r_feedback[0]).format()
    plan = plan_calibration(chip, quick=True)
    for block in plan.blocks.values():
        for netlist in block.netlists(chip):
            netlist.format()


def judge(case: FileCase) -> Verdict:
    return judge_file(case, use)
