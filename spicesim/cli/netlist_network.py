"""The netlist of one tile of a network, and the table from its cells to the network's weights."""

import click
import numpy as np

from spicesim.chip import CORNERS
from spicesim.cli.netlist_file import dialect_option, finish, output_option
from spicesim.cli.options import open_calibration
from spicesim.engine import NgspiceEngine
from spicesim.errors import SpecError
from spicesim.experiment.fitting import fit_ranges
from spicesim.files.arrays import read_array
from spicesim.network import compile_network
from spicesim.network.dataset import load_dataset

__all__ = ["network"]


@click.command(
    epilog="example: spicesim netlist network model.onnx data.npz --calibration chip.cal.json --layer fc1 -o fc1.cir"
)
@click.argument("model", metavar="MODEL.onnx")
@click.argument("data", metavar="DATA.npz")
@click.option("--calibration", "calibration_path", metavar="CAL.json", required=True, help="The chip, calibrated.")
@click.option("--layer", metavar="NAME", help="Which layer.  [default: the first]")
@click.option("--tile", "number", metavar="K", type=click.IntRange(0), default=0, help="Which tile of the layer.")
@click.option(
    "--codes", metavar="CODES.npy", help="DAC codes, (rows,).  [default: all at half of full scale; of bits, all 1]"
)
@click.option("--corner", type=click.Choice(CORNERS), help="Corner of the process.  [default: the chip's]")
@click.option("--temperature", metavar="C", type=float, help="Temperature [C].  [default: the chip's]")
@click.option(
    "--mismatch",
    metavar="SEED",
    type=click.IntRange(0),
    help="The chip of `spicesim infer --mismatch SEED`, its devices drawn.",
)
@dialect_option
@output_option
def network(
    model: str,
    data: str,
    calibration_path: str,
    layer: str | None,
    number: int,
    codes: str | None,
    corner: str | None,
    temperature: float | None,
    mismatch: int | None,
    dialect: str,
    output: str | None,
) -> None:
    """Write one tile of a network, its devices programmed.

    Its cells are programmed in ngspice; first guesses of its operating point come from the calibration.
    DATA.npz fits the ranges of converters and amplifiers, as in `spicesim infer`. Beside the netlist goes
    FILE.cells.csv: every cell with its conductance, layer, output, input, sign and slice.
    """
    calibration = open_calibration(calibration_path, elsewhere=corner is not None or temperature is not None)
    if corner is not None or temperature is not None:
        calibration = calibration.at(corner=corner, temperature_c=temperature)
    dataset = load_dataset(data)
    compiled = compile_network(model, calibration)
    names = [found.name for found in compiled.layers]
    name = names[0] if layer is None else layer
    if name not in names:
        raise SpecError(f"no analog layer {name!r}; there are: {', '.join(names)}")
    where = names.index(name)
    mapped = compiled.layers[where].mapped
    if number >= len(mapped):
        raise SpecError(f"layer {name!r} has {len(mapped)} tiles, 0..{len(mapped) - 1}; got --tile {number}")
    fit_ranges(compiled, dataset)
    engine = NgspiceEngine(calibration, mismatch_seed=mismatch)
    prepared = engine.prepare(compiled.tiles()[where][number])
    rows = mapped[number].g.shape[0]
    vector = np.full(rows, 2 ** (calibration.chip.code_bits - 1)) if codes is None else read_array(codes, "codes")
    if vector.shape != (rows,) or vector.dtype.kind not in "iu":
        raise SpecError(f"the codes must be {rows} integers, one a row of the tile; got {vector.dtype} {vector.shape}")
    (built,) = engine.netlists(prepared, vector[None, :])
    finish(built, output, dialect, cells=True, layer=name, mapped=mapped[number])
