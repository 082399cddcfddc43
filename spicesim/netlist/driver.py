"""A kind of word-line driver that puts out a voltage a code, as a subcircuit.

A driver of one's own is a subclass in a file outside of the package, named by ``dac.kind = "package.module:Name"``. It
says how it is built; codes and loads are then swept in ngspice, and whole tiles held against the tables of these.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from spicesim.chip import Chip
from spicesim.chip.library import subcircuit_names
from spicesim.errors import SpecError
from spicesim.netlist.process import block_text
from spicesim.netlist.subcircuits import split_subcircuits

__all__ = ["Driver"]


class Driver(ABC):
    """One kind of word-line driver."""

    words: ClassVar[str]
    """What it is, in a few words."""

    @abstractmethod
    def blocks(self, chip: Chip) -> list[str]:
        """Return its subcircuit, named ``dac``, and those that it calls, each a text.

        Parameters
        ----------
        chip : Chip
            Gives ``dac.bits`` N and whatever sizes it uses. Subcircuits of the library come by
            :func:`spicesim.netlist.process.block_text`; ``circuit_text`` there gives a text of one's own the process's
            transistors for ``nch`` and ``pch``.

        Returns
        -------
        list of str
            The ports of ``dac`` are :meth:`ports`; its output is about vlo + (vhi - vlo) code / 2^N.
        """

    @staticmethod
    def ports(chip: Chip) -> list[str]:
        """Return the ports of ``dac`` in their order: out, bits from the least significant, vlo, vhi, vdd, vss."""
        return ["out", *(f"b{k}" for k in range(chip.dac.bits)), "vlo", "vhi", "vdd", "vss"]

    def checked_blocks(self, chip: Chip) -> list[str]:
        """Return :meth:`blocks`, if a tile can call them.

        Raises
        ------
        SpecError
            If there is no ``dac`` with such ports, or a subcircuit stands in the way of one of the library.
        """
        blocks = self.blocks(chip)
        found, _ = split_subcircuits("\n".join(blocks).lower())
        ports = found["dac"].head.split()[2:] if "dac" in found else None
        if ports is None or [port for port in ports if "=" not in port] != self.ports(chip):
            raise SpecError(
                f"drivers {chip.dac.kind!r} need a subcircuit: .subckt dac {' '.join(self.ports(chip))}; got "
                + ("none of that name" if ports is None else f"the ports {' '.join(ports)}")
            )
        for text in blocks:
            for name in split_subcircuits(text)[0]:
                if f"{name}.cir" in subcircuit_names() and text != block_text(name, chip):
                    raise SpecError(f"drivers {chip.dac.kind!r}: {name} is a subcircuit of the library; rename yours")
        return blocks
