"""The section on what a network takes: energy, time and area."""

import numpy as np

from spicesim.experiment.footprint import Footprint
from spicesim.plots import plot_shares
from spicesim.report.numbers import percent, quantity
from spicesim.report.page import Column, Facts, Illustration, Section, Table

__all__ = ["footprint_section"]

_METHOD = (
    "How it is found: {sampled:,} of the products that typical inputs ask for, drawn at random, are solved on the "
    "calibrated chip. A product takes the solved power of its blocks from the change of codes until the last column is "
    "converted ({read} to the sample, then {conversions} a conversion, {shared}), and what the change of codes and "
    "the conversions draw; a layer takes the mean of its products times their number. The sum over blocks is what the "
    "supplies deliver. What waits or has no weights draws nothing. All tiles of a layer work at a time, vector after "
    "vector; layers one after the other (latency), or each on another input (pipelined: the slowest layer is the "
    "interval). A MAC of the network, not of the array, is two operations. Areas are the blocks' devices, times the "
    "overhead of a layout that is assumed, of whole arrays. Digital work, control and buses are not counted."
)


def _square(area: float) -> str:
    """Format an area [m^2]."""
    return f"{1e6 * area:.3g} mm²"


def footprint_section(found: Footprint) -> Section:
    """Tell the energy, time and area of an inference."""
    shared = "one ADC a column" if found.columns_per_adc == 1 else f"an ADC for {found.columns_per_adc} columns"
    total, area = found.total_energy, found.area
    error = f" ± {quantity(found.standard_error, 'J', 2)}" if found.standard_error else ""
    facts = Facts(
        items=(
            ("energy, an inference", quantity(total, "J", 3) + error),
            ("energy, a MAC", quantity(found.energy_per_mac, "J", 3)),
            ("operations for energy", f"{found.tops_per_watt:.3g} TOPS/W"),
            ("latency, layer after layer", quantity(found.latency, "s", 3)),
            ("interval, pipelined", quantity(found.interval, "s", 3)),
            ("throughput, pipelined", f"{found.tops:.3g} TOPS"),
            ("area of all tiles", _square(sum(area.values()))),
            ("MACs, an inference", f"{found.macs:,.0f}"),
        )
    )
    columns = [Column(title="layer", text=True), Column(title="vectors"), Column(title="energy")]
    columns += [Column(title=word, unit="%") for word in found.blocks.values()]
    columns += [Column(title="a MAC"), Column(title="latency"), Column(title="area")]
    rows = [
        (
            layer.name, f"{layer.vectors:g}", quantity(layer.total_energy, "J", 3),
            *(percent(layer.energy[block] / layer.total_energy) for block in found.blocks),
            quantity(layer.total_energy / layer.macs, "J", 3), quantity(layer.latency, "s", 3),
            _square(sum(layer.area.values())),
        )
        for layer in found.layers
    ]  # fmt: skip
    rows.append(
        (
            "network", "", quantity(total, "J", 3), *(percent(found.energy[block] / total) for block in found.blocks),
            quantity(found.energy_per_mac, "J", 3), quantity(found.latency, "s", 3), _square(sum(area.values())),
        )
    )  # fmt: skip
    shares = np.array([[100 * layer.energy[block] / total for block in found.blocks] for layer in found.layers])
    whole = sum(area.values())
    areas = np.array([[100 * layer.area[block] / whole for block in found.blocks] for layer in found.layers])
    names = [layer.name for layer in found.layers]
    return Section(
        anchor="footprint",
        title="Energy, time and area",
        text=_METHOD.format(
            sampled=sum(layer.sampled for layer in found.layers),
            read=quantity(found.t_read, "s", 3),
            shared=shared,
            conversions=quantity((found.layers[0].t_product - found.t_read) / found.columns_per_adc, "s", 3),
        ),
        blocks=(
            facts,
            Table(
                caption="An inference by layer; the parts of an energy by block in % of the layer's.",
                columns=tuple(columns),
                rows=tuple(rows),
            ),
            Illustration(
                title="Energy by layer and block",
                caption="Of an inference; the bars add up to 100 %.",
                figure=plot_shares(names, list(found.blocks.values()), shares, "share of the energy [%]"),
            ),
            Illustration(
                title="Area by layer and block",
                caption="Of all tiles; the bars add up to 100 %.",
                figure=plot_shares(names, list(found.blocks.values()), areas, "share of the area [%]"),
            ),
        ),
    )
