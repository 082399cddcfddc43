"""What tests of circuits share."""

import pytest

from spicesim.chip import PRESETS, Chip, preset


@pytest.fixture(params=sorted(PRESETS))
def chip(request: pytest.FixtureRequest) -> Chip:
    """Return each chip that ships, one after the other."""
    return preset(request.param)
