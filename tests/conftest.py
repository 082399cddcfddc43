"""What all tests share: a real ngspice, a cache of their own, calibrations made once."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import Calibration
from spicesim.chip import preset


def pytest_sessionstart() -> None:
    """Fail at once without ngspice: skipping what needs it would leave a green run that says nothing."""
    if shutil.which("ngspice") is None:
        pytest.exit("ngspice is not installed: sudo apt-get install ngspice libngspice0", returncode=1)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def isolation(shared_folder: Path) -> Iterator[None]:
    """Keep the user's cache and working folder out of the tests, and the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPICESIM_CACHE", str(shared_folder / "cache"))
        patch.setenv("SPICESIM_RUNS", str(shared_folder / "runs"))
        yield


def calibrate_once(name: str, size: int, folder: Path) -> Calibration:
    """Calibrate a preset quickly; a second process waits, and then finds the simulations in the cache."""
    chip = preset(name).changed(array={"rows": size, "columns": size})
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return calibrate(chip, quick=True, aspects=())


@pytest.fixture(scope="session")
def generic_calibration(shared_folder: Path, isolation: None) -> Calibration:
    """Return a quick calibration of the generic chip with 16x16 cells."""
    return calibrate_once("generic-1t1r", 16, shared_folder)


@pytest.fixture(scope="session")
def gf180_calibration(shared_folder: Path, isolation: None) -> Calibration:
    """Return a quick calibration of the GF180MCU chip with 32x32 cells."""
    return calibrate_once("gf180-1t1r", 32, shared_folder)
