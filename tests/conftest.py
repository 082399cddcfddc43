"""What all tests share: a real ngspice, a cache of their own, calibrations made once, examples that repeat."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fuzz.calibrations import small_chip
from spicesim.calibration.aspects import ASPECT_NAMES
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import Calibration, load_calibration
from spicesim.chip import Chip, preset

# Examples are the same in every run, so that a change is never blamed for the luck of a draw; a profile of its own
# looks for new ones. Neither knows of time: a busy machine is no fault.
settings.register_profile(
    "repeat", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("repeat"), derandomize=False, print_blob=True)
settings.load_profile("repeat")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use all processors this process may use, up to where the longest test decides how long all take."""
    return min(len(os.sched_getaffinity(0)), 8)


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


@pytest.fixture(scope="session")
def one_at_a_time(shared_folder: Path, isolation: None) -> Callable[[str], AbstractContextManager[None]]:
    """Return a lock by name: a second process of this run waits, and then finds the simulations in the cache."""

    @contextmanager
    def lock(name: str) -> Iterator[None]:
        with (shared_folder / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    return lock


Make = Callable[[], Calibration]


@pytest.fixture(scope="session")
def calibrate_once(
    shared_folder: Path, one_at_a_time: Callable[[str], AbstractContextManager[None]]
) -> Callable[[str, Make], Calibration]:
    """Return what has a calibration made by one process of this run and read by all that ask for its name.

    Several runs of one state of the code share those in the folder that SPICESIM_TEST_CALIBRATIONS names.
    """
    folder = Path(os.environ.get("SPICESIM_TEST_CALIBRATIONS", shared_folder))

    def once(name: str, make: Make) -> Calibration:
        path = folder / f"{name}.cal.json"
        with one_at_a_time(name):
            if not path.exists():
                make().save(path)
        return load_calibration(path)

    return once


def quick(name: str, size: int) -> Make:
    """Return what calibrates a preset with a square array quickly."""
    chip: Chip = preset(name).changed(array={"rows": size, "columns": size})
    return lambda: calibrate(chip, quick=True, aspects=())


@pytest.fixture(scope="session")
def generic_calibration(calibrate_once: Callable[[str, Make], Calibration]) -> Calibration:
    """Return a quick calibration of the generic chip with 16x16 cells."""
    return calibrate_once("generic-16", quick("generic-1t1r", 16))


@pytest.fixture(scope="session")
def small_calibration(calibrate_once: Callable[[str, Make], Calibration]) -> Calibration:
    """Return a quick calibration of the generic chip with 8x8 cells."""
    return calibrate_once("generic-8", quick("generic-1t1r", 8))


@pytest.fixture(scope="session")
def whole_calibration(calibrate_once: Callable[[str, Make], Calibration]) -> Calibration:
    """Return a quick calibration of a generic chip with 6x6 cells and five bits, with all aspects but climate."""
    return calibrate_once("whole", lambda: calibrate(small_chip(), quick=True))


@pytest.fixture(scope="session")
def climate_calibration(calibrate_once: Callable[[str, Make], Calibration]) -> Calibration:
    """Return the same with conditions, too; for tests marked long."""
    return calibrate_once("climate", lambda: calibrate(small_chip(), aspects=ASPECT_NAMES, quick=True))


@pytest.fixture(scope="session")
def gf180_calibration(calibrate_once: Callable[[str, Make], Calibration]) -> Calibration:
    """Return a quick calibration of the GF180MCU chip with 32x32 cells."""
    return calibrate_once("gf180-32", quick("gf180-1t1r", 32))


@pytest.fixture(scope="session")
def gf180_everywhere(calibrate_once: Callable[[str, Make], Calibration]) -> Calibration:
    """Return that of the GF180MCU chip with 16x16 cells and four of its six feedbacks, for drawn chips anywhere."""
    chip = preset("gf180-1t1r").changed(
        array={"rows": 16, "columns": 16}, sense_amplifier={"r_feedback": (5e3, 20e3, 80e3, 160e3)}
    )
    aspects = ("settling", "mismatch", "climate")
    return calibrate_once("gf180-everywhere", lambda: calibrate(chip, quick=True, aspects=aspects, accept="test"))


@pytest.fixture(scope="session")
def gf180_floating(calibrate_once: Callable[[str, Make], Calibration]) -> Calibration:
    """Return that of a GF180MCU chip with 8x8 cells and floating bit lines, for drawn chips."""
    chip = preset("gf180-voltage").changed(
        array={"rows": 8, "columns": 8}, hold={"settle": 5e-7, "planes": "digital"}, adc={"kind": "ideal"}
    )
    return calibrate_once("gf180-floating", lambda: calibrate(chip, quick=True, aspects=("mismatch",)))
