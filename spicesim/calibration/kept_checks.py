"""Checks of whole tiles as parts of calibrations: a tile is checked again only if something in it has changed."""

from collections.abc import Sequence
from dataclasses import replace

from spicesim.behavioural.arrays import Model
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.parts import CHECK, Part, Parts, content_hash
from spicesim.calibration.tile_check import TileCheck
from spicesim.calibration.tiles import TileCase, check_tiles
from spicesim.calibration.watched import Reads

__all__ = ["recall_checks"]

LABEL = "check whole tiles"


def recall_checks(
    calibration: Calibration, cases: Sequence[TileCase], campaign: Campaign, parts: Parts
) -> list[TileCheck]:
    """Check whole tiles as :func:`check_tiles`, but for those that were checked before.

    A check was made before if the same models met the same conductances and codes on a chip with the same keys: its
    wires among them, but not the size of the array around it.

    Parameters
    ----------
    calibration : Calibration
        Whose tiles they are.
    cases : sequence of TileCase
        What is checked.
    campaign : Campaign
        Runs the simulations.
    parts : Parts
        Where checks are looked for and kept.
    """
    given = [_given(calibration, case) for case in cases]
    names = [f"{CHECK}{case.name}" for case in cases]
    found = [parts.find(name, own, TileCheck) for name, own in zip(names, given, strict=True)]
    missing = [k for k, part in enumerate(found) if part is None]
    made: dict[int, TileCheck] = {}
    if missing:
        reads, first, failed = Reads(calibration.chip), len(campaign.log), len(campaign.failures)
        watched = calibration.model_copy(update={"chip": reads.watch()})
        build = [
            replace(case, tile=watched.tile(case.tile.g, case.tile.dac.polarity, case.tile.setting))
            for case in (cases[k] for k in missing)
        ]
        checks = check_tiles(watched.chip, build, campaign, LABEL)
        whole, keys = len(campaign.failures) == failed, tuple(sorted(reads.keys))
        for k, check in zip(missing, checks, strict=True):
            count = len(check.pattern)
            runs = tuple(campaign.log[first : first + count])
            first += count
            part = Part(keys=keys, runs=runs, content=check)
            made[k] = parts.keep(names[k], given[k], part, TileCheck, whole=whole).content
    return [made[k] if part is None else parts.take(names[k], part) for k, part in enumerate(found)]


def _given(calibration: Calibration, case: TileCase) -> str:
    tile = case.tile
    models: list[Model] = [
        calibration.cell, calibration.dacs[tile.dac.polarity], calibration.readout(tile.setting),
    ]  # fmt: skip
    codes = {name: vector.tolist() for name, vector in case.codes.items()}
    return content_hash(case.name, tile.g.tolist(), tile.dac.polarity, tile.setting, codes, *models)
