"""A physical parameter, estimated, with what is known of its error."""

from spicesim.behavioural.arrays import Model

__all__ = ["Parameter"]


class Parameter(Model):
    """A fitted number with its uncertainty."""

    value: float
    """Estimate."""
    standard_error: float
    """One standard deviation of the estimate."""
    unit: str
    """SI unit."""
    interval: tuple[float, float] | None = None
    """Where it lies with 95 % confidence; absent where that was not worked out."""
