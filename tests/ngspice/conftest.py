"""What tests of circuits share."""

import pytest

from simulation import PROCESSES
from spicesim.chip import Chip, preset


@pytest.fixture(params=PROCESSES)
def chip(request: pytest.FixtureRequest) -> Chip:
    """Return each chip that ships, one after the other."""
    return preset(request.param)
