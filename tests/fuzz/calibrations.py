"""Calibrations that were edited or damaged: loaded, a tile built and solved, its noise, energy and mismatch asked for.

Half of them have their checksum and hashes written anew, as somebody who means harm can: then only what the numbers are
stands between a file and the kernels.
"""

import json
import os
import random
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from fuzz.files import FileCase, judge_file
from fuzz.mutations import mutate, spoil
from fuzz.verdict import Verdict
from spicesim.calibration.aspects import ASPECT_NAMES
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import _HEAD, _VERSION, Calibration, _checksum, load_calibration
from spicesim.chip import Chip, preset
from spicesim.files import write_text
from spicesim.provenance import versions

USE = (
    "import numpy as np, spicesim\ncalibration = spicesim.load_calibration('cal.json')\n"
    "g, r_feedback = np.full((4, 4), calibration.cell.g_limits[1]), calibration.senseamps[0].r_feedback\n"
    "tile = calibration.tile(g, 'bipolar', r_feedback)\n"
    "print(tile.solve(np.array([[1, 2, 3, 15]])).v_out)\n"
)


def small_chip() -> Chip:
    """Return a chip that ngspice calibrates with all aspects in minutes, of which conditions take two thirds."""
    return preset("generic-1t1r").changed(
        array={"rows": 6, "columns": 6}, sense_amplifier={"r_feedback": (20e3, 160e3)}, dac={"bits": 5}, adc={"bits": 8}
    )


def sar_chip() -> Chip:
    """Return a chip with converters of six bits that ngspice calibrates in a few minutes."""
    return preset("generic-1t1r").changed(
        array={"rows": 8, "columns": 4}, sense_amplifier={"r_feedback": (80e3,)}, adc={"kind": "sar", "bits": 6},
        sar_adc={"sample": 40e-9, "bit": 16e-9},
    )  # fmt: skip


@cache
def text(everywhere: bool = True) -> str:
    """Return a calibration of the small chip with all that there is, or at its own condition alone; it is made once."""
    chip, where = small_chip(), "ss" if everywhere else "home"
    kept = (
        Path(tempfile.gettempdir())
        / f"spicesim-fuzz-{_VERSION}-{where}-{versions()['spicesim']}-{chip.hash}-{os.getuid()}.cal.json"
    )
    if kept.exists():
        return kept.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cal.json"
        calibrate(chip, aspects=ASPECT_NAMES if everywhere else None, quick=True).save(path)
        # short numbers, and some of what only reports show: a case takes as long as its file is
        document = json.loads(path.read_text(encoding="utf-8"), parse_float=lambda text: float(f"{float(text):.8g}"))
    for held_out in document["held_out"].values():
        held_out |= {name: held_out[name][:3] for name in ("measured", "predicted")}
        held_out["coordinates"] = {name: points[:3] for name, points in held_out["coordinates"].items()}
    document["settling"]["checks"], document["parameters"] = document["settling"]["checks"][:1], None
    climate = document["climate"]
    for part in (climate, *(climate[name] for name in ("mismatch", "settling", "noise", "energy"))) if climate else ():
        part["corners"] = {name: models for name, models in part["corners"].items() if name == "ss"}
    seal(document)
    write_text(kept, json.dumps(document))  # at once: another process may look for it
    return kept.read_text(encoding="utf-8")


def prepare() -> None:
    text()


def seal(document: dict) -> None:
    """Write checksum and hashes anew, as far as the document makes a calibration."""
    body = {name: value for name, value in document.items() if name not in _HEAD}
    document["checksum"] = _checksum(body)
    try:
        calibration = Calibration.model_validate(body)
        document |= {"chip_hash": calibration.chip.hash, "calibration_hash": calibration.hash}
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return


def case(seed: int, everywhere: bool = True) -> FileCase:
    rng = random.Random(seed)
    if rng.random() < 0.2:
        data, done = spoil(text(everywhere).encode(), rng)
        return FileCase(data, done, "cal.json", USE)
    document = json.loads(text(everywhere))
    done = "; ".join(mutate(document, rng) for _ in range(rng.choice([1, 1, 1, 2])))
    if isinstance(document, dict) and rng.random() < 0.8:
        seal(document)
        done += "; sealed"
    return FileCase(json.dumps(document).encode(), done, "cal.json", USE)


def use(path: Path) -> None:
    calibration = load_calibration(path)
    low, high = calibration.cell.g_limits
    g = np.linspace(low, high, 16).reshape(4, 4)
    codes = np.array([[0, 1, 7, 15], [15, 15, 15, 15]])
    for polarity in ("unipolar", "bipolar"):
        for amplifier in calibration.senseamps:
            tile = calibration.tile(g, polarity, amplifier.r_feedback)
            state = tile.solve(codes)
            assert np.isfinite(state.v_out).all()
            if calibration.energy is not None:
                calibration.energy.tile_energy(tile, codes, state, 1e-7)
            if calibration.noise is not None:
                calibration.noise.tile_sigma(g, amplifier.r_feedback)
    r_feedback = calibration.senseamps[0].r_feedback
    if calibration.mismatch is not None:
        instance = calibration.mismatch.draw(4, 4, polarity="unipolar", r_feedback=r_feedback, seed=1)
        calibration.tile(g, "unipolar", r_feedback, instance=instance).solve(codes)
    if calibration.settling is not None:
        calibration.transient(g, "unipolar", r_feedback)
    if calibration.climate is not None:
        for temperature in calibration.climate.limits:
            calibration.at(temperature_c=temperature).tile(g, "unipolar", r_feedback).solve(codes)
        for corner in calibration.climate.corners:
            at = calibration.at(corner=corner, temperature_c=calibration.climate.limits[1])
            if at.settling is not None:
                at.transient(g, "unipolar", r_feedback)
            if at.noise is not None:
                at.noise.tile_sigma(g, r_feedback)
            if at.mismatch is not None:
                at.mismatch.draw(4, 4, polarity="unipolar", r_feedback=r_feedback, seed=1)
            tile = at.tile(g, "unipolar", r_feedback)
            if at.energy is not None:
                at.energy.tile_energy(tile, codes, tile.solve(codes), 1e-7)


def judge(case: FileCase) -> Verdict:
    return judge_file(case, use)
