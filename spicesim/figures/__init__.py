"""The figures of a paper on an analog macro, each from a calibration, some from a network, too."""
