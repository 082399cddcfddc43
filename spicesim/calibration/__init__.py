"""From ngspice runs of a chip's blocks to a calibration that says how good it is."""
