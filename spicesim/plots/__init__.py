"""Figures of calibrations and network runs, without pyplot and its global state."""

from spicesim.plots.blocks import (
    plot_cell,
    plot_cell_bias,
    plot_cell_nonlinearity,
    plot_dac,
    plot_dac_load,
    plot_residuals,
    plot_sense_amplifier_input,
    plot_sense_amplifier_output,
    plot_virtual_ground,
)
from spicesim.plots.figure import figure_svg
from spicesim.plots.network import (
    plot_accuracies,
    plot_budget,
    plot_confusion,
    plot_error_distribution,
    plot_layer_snr,
    plot_shares,
    plot_tile_map,
)
from spicesim.plots.tiles import plot_error_by_vector, plot_ir_drop, plot_ir_drop_profile, plot_parity

__all__ = [
    "figure_svg",
    "plot_accuracies",
    "plot_budget",
    "plot_cell",
    "plot_cell_bias",
    "plot_cell_nonlinearity",
    "plot_confusion",
    "plot_dac",
    "plot_dac_load",
    "plot_error_by_vector",
    "plot_error_distribution",
    "plot_ir_drop",
    "plot_ir_drop_profile",
    "plot_layer_snr",
    "plot_parity",
    "plot_residuals",
    "plot_sense_amplifier_input",
    "plot_sense_amplifier_output",
    "plot_shares",
    "plot_tile_map",
    "plot_virtual_ground",
]
