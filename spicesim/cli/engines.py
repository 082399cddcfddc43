"""Engines of single layers and tiles, as asked for on the command line."""

from collections.abc import Callable, Sequence

from spicesim.engine import Engine, MixedEngine
from spicesim.errors import SpecError
from spicesim.network import Network

__all__ = ["mix_engines"]


def mix_engines(
    network: Network,
    engine: Engine,
    build: Callable[[str], Engine],
    engine_for: Sequence[str] = (),
    ngspice: Sequence[str] = (),
) -> Engine:
    """Return the engine with others for some layers or tiles.

    Parameters
    ----------
    network : Network
        Whose tiles they are.
    engine : Engine
        For all others.
    build : callable
        Makes an engine of its word.
    engine_for : sequence of str
        "LAYER[:TILE]=ENGINE"; see :meth:`spicesim.network.Network.select`. Later ones go before earlier ones.
    ngspice : sequence of str
        "LAYER[:TILE]" for transistor level.

    Raises
    ------
    SpecError
        If a text has no engine.
    NetworkError
        If there is no such layer or tile.
    """
    wanted = [text.rpartition("=") for text in engine_for] + [(text, "=", "ngspice") for text in ngspice]
    engines: dict[str, Engine] = {}
    chosen: dict[str, Engine] = {}
    for place, equals, word in wanted:
        if not equals:
            raise SpecError(f"--engine-for wants LAYER[:TILE]=ENGINE, such as layer3:tile2=ngspice, got {word!r}")
        names = network.select(place)
        if word not in engines:
            engines[word] = build(word)
        chosen.update(dict.fromkeys(names, engines[word]))
    return MixedEngine(engine, chosen) if chosen else engine
