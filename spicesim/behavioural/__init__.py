"""Calibrated models of the blocks, and the tile they make together."""
