"""The netlist of a whole macro: a tile with the converters on its outputs, codes in and codes out."""

import click
import numpy as np

from spicesim.calibration.mismatch_bench import draw_chip
from spicesim.cli.netlist_file import file_options, finish, with_realism
from spicesim.cli.netlist_inputs import (
    Quantity,
    feedback_option,
    find_feedback,
    find_place,
    first_guesses,
    place_options,
    polarity_option,
    read_codes,
    step_from_rest,
)
from spicesim.cli.numbers import read_numbers
from spicesim.coding import Polarity
from spicesim.draws import ChipDraw
from spicesim.engine.macro import converter_on_chip, converter_path
from spicesim.errors import SpecError
from spicesim.netlist.macro import MacroRead, build_macro, sampling_start

__all__ = ["macro"]


@click.command(
    epilog="example: spicesim netlist macro --chip gf180-bits --conductance g.npy --codes codes.npy -o macro.cir"
)
@file_options
@click.option(
    "--conductance",
    metavar="G",
    required=True,
    help="Device conductances, (rows, columns) [S]: a file, or 10u,20u;30u,5u.",
)
@click.option("--codes", metavar="CODES", required=True, help="DAC codes, (rows,): a file, or 200,30.")
@polarity_option
@feedback_option
@click.option("--converters", metavar="J,J", help="Columns that are converted.  [default: all]")
@click.option(
    "--t-read", type=Quantity(), metavar="TIME",
    help="From the change of codes, from 0 V in all rows, until sampling ends, settled or not.  [default: settled]",
)  # fmt: skip
@place_options
def macro(
    chip_path: str | None,
    output: str | None,
    dialect: str,
    conductance: str,
    codes: str,
    polarity: Polarity,
    r_feedback: float | None,
    converters: str | None,
    t_read: float | None,
    calibration_path: str | None,
    corner: str | None,
    temperature: float | None,
    mismatch: int | None,
) -> None:
    """Write a tile with SAR converters on its outputs, codes in and codes out, as one transient.

    The bits of column J are v(xconverter_J.q_K), 0 or 1, at the end. All is transistors, but for the logic of
    converters unless sar_adc.logic = cells. Beside the netlist goes FILE.cells.csv, which lists all cells. What
    --mismatch draws are parameters of calls, in standard deviations, and capacitors of converters, to be edited.
    """
    chip, calibration = find_place(chip_path, calibration_path, corner, temperature)
    g, vector = read_numbers(conductance, "conductances"), read_codes(codes)
    if chip.converter is None:
        raise SpecError(f"adc.kind = {chip.adc.kind}, so there are no converters to write; set adc.kind = sar")
    if g.ndim != 2:
        raise SpecError(f"a macro needs conductances (rows, columns), such as 10u,20u;30u,5u; got shape {g.shape}")
    columns = g.shape[1]
    try:
        chosen = range(columns) if converters is None else [int(word) for word in converters.split(",")]
    except ValueError:
        raise SpecError(f"--converters takes column numbers with commas, such as 0,3; got {converters!r}") from None
    sizes, draw, shared = chip.converter, None if mismatch is None else ChipDraw(mismatch), chip.adc.columns
    read = MacroRead(
        converters={j: sizes if draw is None else converter_on_chip(sizes, draw, j // shared) for j in chosen},
        polarity=chip.sense_amplifier.output_range(polarity),
        t_read=sampling_start(chip, sizes, polarity, t_read), shared=shared,
    )  # fmt: skip
    # hold switches of single planes open some time after a step
    steps = t_read is not None or (chip.sense_amplifier.kind == "voltage" and not chip.hold.adds_planes)
    step = step_from_rest(chip, vector, polarity, read.stop) if steps else None
    feedback, guesses = find_feedback(chip, r_feedback), None
    if calibration is not None:
        before = vector if step is None else np.array(step.before)
        guesses = first_guesses(calibration, g, before, polarity, feedback)
    built = build_macro(
        chip, g, vector if step is None else step, read, polarity=polarity, r_feedback=feedback, nodesets=guesses
    )
    if draw is not None:
        which = [j // shared for j in range(columns)]
        built = draw_chip(built, chip, lambda path: draw(converter_path(path, which)))
    finish(with_realism(built, chip), output, dialect, cells=True)
