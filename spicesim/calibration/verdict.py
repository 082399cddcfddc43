"""What a calibration promises of whole tiles, and whether it keeps that."""

DEFAULT_ERROR = 5e-5
"""Largest error of an output that a calibration is asked for, as a fraction of full scale."""
