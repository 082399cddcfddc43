import pytest

from spicesim.errors import SpecError
from spicesim.units import parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("20", 20), ("1.5 s", 1.5), ("5min", 300), ("1h", 3600), ("1d", 86400), ("1e3s", 1e3)],
)
def test_times_have_units(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1 week", "1D", "nan"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(SpecError, match="expected a time such as 30s, 5min, 1h, 1d or 1y"):
        parse_time(text)
