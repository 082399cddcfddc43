"""The audit command: a calibration against whole tiles it has not seen."""

import json
from collections.abc import Sequence
from functools import partial

import click
import numpy as np

from spicesim.apart import ConversionApart, take_apart
from spicesim.arrays import Floats
from spicesim.audit import Audit, audit_samples
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.mismatch_check import check_mismatch
from spicesim.calibration.tiles import (
    COLUMNS_IN_TIME,
    build_adversarial_cases,
    build_cases,
    check_tiles,
    random_matrices,
)
from spicesim.cli.options import jobs_option, open_calibration, timeout_option
from spicesim.cli.tables import format_apart, format_audit, format_checks, format_macros, format_mismatch
from spicesim.engine import SampledMvm, random_products
from spicesim.errors import SpecError
from spicesim.experiment.outcome import audit_document
from spicesim.files import write_text
from spicesim.netlist import run_command
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["audit", "trained_matrices"]


@click.command(
    epilog="example: spicesim audit chip.cal.json --sizes 16,32 --seed 7; codes of drawn chips, hot: spicesim audit "
    "chip.cal.json --sizes 16 --macros 2 --mismatch 10 --corner ss --temperature 85"
)
@click.argument("calibration_path", metavar="CAL.json")
@click.option("--sizes", metavar="N,N", default="16,32", help="Rows and columns of the square tiles.")
@click.option(
    "--columns", metavar="N", type=click.IntRange(1), default=COLUMNS_IN_TIME, show_default=True,
    help="Columns, at most, where products take minutes: of pulses, and of bits that are added as charge.",
)  # fmt: skip
@click.option("--vectors", metavar="N", type=click.IntRange(0), default=6, help="Random vectors a tile.")
@click.option(
    "--mismatch", "draws", metavar="N", type=click.IntRange(1),
    help="Instead, draw every transistor and resistor of N chips, and compare a tile of the least size on each; two "
    "at least, or any number with --macros.",
)  # fmt: skip
@click.option(
    "--macros", metavar="N", type=click.IntRange(1),
    help="Instead, do N products of tiles of the least size with converters on their amplifiers, or behind ideal "
    "buffers on floating lines, codes in, codes out; with --mismatch on each chip.",
)  # fmt: skip
@click.option(
    "--apart",
    is_flag=True,
    help="Of macros with SARs, show beside each code that of the same converter behind an ideal source: whether the "
    "hand-over or the converter makes one another.",
)
@click.option("--corner", metavar="NAME", help="Another corner of the process than the chip's own, if calibrated.")
@click.option("--temperature", metavar="C", type=float, help="Another temperature than the chip's own [C].")
@click.option("--seed", metavar="S", type=int, default=1, help="Seed of conductances and vectors.")
@click.option(
    "--json", "json_path", metavar="OUT.json", help="Write all compared voltages; of macros, what each chip gave."
)
@click.option(
    "--worst", "worst_path", metavar="WORST.cir",
    help="Of macros, write the product with an output farthest from the step to another code, or with the largest "
    "error.",
)  # fmt: skip
@jobs_option
@timeout_option
def audit(
    calibration_path: str,
    sizes: str,
    columns: int,
    vectors: int,
    draws: int | None,
    macros: int | None,
    apart: bool,
    corner: str | None,
    temperature: float | None,
    seed: int,
    json_path: str | None,
    worst_path: str | None,
    jobs: int | None,
    timeout: float,
) -> None:
    """Compare a calibration with whole tiles at transistor level.

    Tiles hold random conductances, and those of a trained network; vectors are random and structured; both input
    codings; columns that stay in the amplifiers' linear range, and columns that saturate.
    """
    elsewhere = corner is not None or temperature is not None
    calibration = open_calibration(calibration_path, elsewhere=elsewhere)
    if elsewhere:
        calibration = calibration.at(corner=corner, temperature_c=temperature)
    try:
        numbers = [int(word) for word in sizes.split(",")]
    except ValueError:
        raise SpecError(f"--sizes takes numbers with commas, such as 16,32; got {sizes!r}") from None
    if min(numbers) < 2:
        raise SpecError(f"--sizes must be at least 2, got {min(numbers)}")
    campaign = Campaign(seed=seed, simulator=BatchSimulator(timeout=timeout), jobs=jobs, progress=True)
    if worst_path is not None and macros is None:
        raise SpecError("--worst is that of whole macros: add --macros 4")
    if apart and macros is None:
        raise SpecError("--apart is of whole macros: add --macros 4")
    if apart and (calibration.chip.converter is None or calibration.chip.has_ideal_buffers):
        raise SpecError("--apart tells SARs from read-outs that drive them, and this chip has none such: leave it out")
    if macros is not None:
        found = _audit_macros(calibration, campaign, macros, (min(numbers), columns), draws, json_path, apart=apart)
        if worst_path is not None:
            max(found, key=lambda chip: (chip.code_misses.max(), chip.max_error)).worst.write(worst_path)
            click.echo(f"wrote {worst_path}; run: {run_command('ngspice').replace('THIS_FILE', worst_path)}")
        return
    if draws is not None:
        if draws < 2:
            raise SpecError("--mismatch compares two chips or more; one alone goes with --macros only")
        _audit_mismatch(calibration, campaign, draws, min(numbers), json_path)
        return
    chip = calibration.chip
    matrices = random_matrices(chip, numbers, seed, columns) | trained_matrices(calibration, numbers)
    cases = build_cases(chip, calibration.tile, matrices, random_vectors=vectors, seed=seed)
    cases += build_adversarial_cases(chip, calibration.tile, numbers, seed=seed, every_feedback=True)
    checks = check_tiles(chip, cases, campaign, "audit")
    click.echo(format_checks(checks))
    _hold_against_claim(calibration, max(check.max_error for check in checks), elsewhere=elsewhere)
    for failure in campaign.failures:
        click.echo(f"left out, as it failed: {failure}")
    if json_path is not None:
        write_text(json_path, json.dumps([check.model_dump(mode="json") for check in checks], indent=1) + "\n")
        click.echo(f"wrote {json_path}")


def _hold_against_claim(calibration: Calibration, found: float, *, elsewhere: bool) -> None:
    """Say whether the largest error is within what the calibration claims."""
    if calibration.verdict is None:
        return
    claim = calibration.verdict.claim_elsewhere if elsewhere else calibration.verdict.claim
    outcome = "it holds" if found <= claim else "IT DOES NOT HOLD: calibrate again without --quick, or with --error"
    click.echo(f"\nlargest error {100 * found:.5f} % of full scale, claimed {100 * claim:.5f} %: {outcome}")


def _audit_mismatch(calibration: Calibration, campaign: Campaign, draws: int, size: int, json_path: str | None) -> None:
    """Compare drawn chips, in columns that stay linear and in columns that saturate; floating lines do not."""
    checks = [
        check_mismatch(calibration, campaign, draws=draws, size=size, saturating=saturating)
        for saturating in ((False, True) if calibration.senseamps else (False,))
    ]
    click.echo(format_mismatch(checks))
    if json_path is not None:
        write_text(json_path, json.dumps([check.document() for check in checks], indent=1) + "\n")
        click.echo(f"wrote {json_path}")


def _audit_macros(
    calibration: Calibration, campaign: Campaign, count: int, shape: tuple[int, int], draws: int | None,
    json_path: str | None, *, apart: bool = False,
) -> list[Audit]:  # fmt: skip
    """Compare codes of whole macros, of either coding, in columns that stay linear, on nominal or on drawn chips.

    No hold capacitor can drive a converter's array: where an ideal buffer stands between floating lines and converters,
    both have transients of their own.
    """
    seeds = [None] if draws is None else list(range(campaign.seed, campaign.seed + draws))
    samples: list[list[SampledMvm]] = []
    notes: list[str] = []
    for number, seed in enumerate(seeds):
        products = random_products(calibration, shape[0], seed=campaign.seed, mismatch_seed=seed, columns=shape[1])
        samples.append(products.chosen(count, campaign.seed, number))
        notes += [f"note: {note}" for note in products.notes]
    works = [partial(_audit_chip, calibration, own, seed) for own, seed in zip(samples, seeds, strict=True)]
    found = campaign.beside(works)  # of a product each, one chip alone would leave processors idle
    if draws is None:
        click.echo(format_audit(found[0], products.seconds))
    for note in notes:
        click.echo(note)
    if draws is not None:
        click.echo(format_macros(found, seeds))
    if apart:
        parts = campaign.beside(
            [partial(_take_apart, calibration, own, seed) for own, seed in zip(samples, seeds, strict=True)]
        )
        each = [seed for seed, part in zip(seeds, parts, strict=True) for _ in part]
        click.echo(f"\n{format_apart([one for part in parts for one in part], each)}")
    if json_path is not None:
        chips = [{"chip": seed, **audit_document(outcome)} for seed, outcome in zip(seeds, found, strict=True)]
        write_text(json_path, json.dumps(chips, indent=1) + "\n")
        click.echo(f"wrote {json_path}")
    return found


def _audit_chip(calibration: Calibration, samples: Sequence[SampledMvm], seed: int | None, campaign: Campaign) -> Audit:
    """Do products of a chip's macros again."""
    return audit_samples(
        samples, calibration, simulator=campaign.simulator, jobs=campaign.jobs,
        progress="audit" if seed is None else f"audit of chip {seed}",
        macros=not calibration.chip.has_ideal_buffers, mismatch_seed=seed,
    )  # fmt: skip


def _take_apart(
    calibration: Calibration, samples: Sequence[SampledMvm], seed: int | None, campaign: Campaign
) -> list[ConversionApart]:
    """Hold the same macros, which were kept, against their converters behind ideal sources."""
    return take_apart(
        samples, calibration, simulator=campaign.simulator, jobs=campaign.jobs,
        progress="apart" if seed is None else f"chip {seed} apart", mismatch_seed=seed,
    )  # fmt: skip


def trained_matrices(calibration: Calibration, sizes: Sequence[int]) -> dict[str, Floats]:
    """Return corners of the devices that the shipped digits network programs."""
    network = compile_network(digits_network("mlp"), calibration, x_calibration=load_digits().x_calibration)
    largest = max((tile.g for tile in network.tiles()[0]), key=np.size)
    devices = calibration.cell.program(largest)
    found = {}
    for size in sizes:
        corner = devices[:size, :size]
        found[f"{corner.shape[0]}x{corner.shape[1]} trained"] = corner
    return found
