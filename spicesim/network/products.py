"""Products that tiles do, as an audit wants them: a sample of all."""

from spicesim.arrays import Codes, Floats
from spicesim.coding import AdcRange
from spicesim.engine import SampledMvm, Tile
from spicesim.network.layer import Observer
from spicesim.network.reservoir import Reservoir

__all__ = ["sample_products"]


def sample_products(
    reservoir: Reservoir[SampledMvm], layer: str, tiles: tuple[Tile, ...], adc: AdcRange, number: int
) -> Observer:
    """Return a function that offers a layer's products, of tiles counted from `number`, to the reservoir."""

    def observe(k: int, codes: Codes, volts: Floats) -> None:
        def keep(i: int) -> SampledMvm:
            return SampledMvm(layer=layer, tile=tiles[k], adc=adc, codes=codes[i].copy(), volts=volts[i].copy())

        reservoir.offer(number + k, len(codes), keep)

    return observe
