"""What the steps of earlier calibrations took on this machine, kept beside their results."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from spicesim.calibration.campaign import Cost
from spicesim.calibration.plan import Plan
from spicesim.files import cache_folder, write_bytes

__all__ = ["read_ledger", "write_ledger"]

_LEDGER = TypeAdapter(dict[str, Cost])


def _path(plan: Plan) -> Path:
    process = re.sub(r"\W+", "-", plan.chip.process.name)
    return cache_folder() / "costs" / f"{process}-{'quick' if plan.quick else 'full'}.json"


def read_ledger(plan: Plan) -> dict[str, Cost]:
    """Return what each aspect took when it was last calibrated on a chip of the plan's process."""
    try:
        return _LEDGER.validate_json(_path(plan).read_bytes())
    except (OSError, ValidationError):  # nothing measured yet, or not by this version
        return {}


def write_ledger(plan: Plan, costs: Mapping[str, Cost]) -> None:
    """Note what aspects took."""
    write_bytes(_path(plan), _LEDGER.dump_json({**read_ledger(plan), **costs}))
