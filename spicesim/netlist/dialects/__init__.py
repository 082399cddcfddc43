"""One netlist in the languages of several simulators.

A :class:`~spicesim.netlist.Netlist` is written in ngspice's language. For the others its text is parsed into
statements (:mod:`spicesim.netlist.statements`) and each dialect renders them in its own words; what a dialect cannot
say is an error that names the line.
"""

from spicesim.errors import SpecError
from spicesim.netlist.dialects.dialect import Dialect
from spicesim.netlist.dialects.hspice import Hspice
from spicesim.netlist.dialects.spectre import Spectre
from spicesim.netlist.dialects.vacask import Vacask
from spicesim.netlist.dialects.xyce import Xyce
from spicesim.netlist.netlist import RUN_COMMAND, Netlist

__all__ = ["DIALECTS", "format_netlist", "run_command"]

_OTHERS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Xyce(), Hspice(), Spectre(), Vacask())}

DIALECTS = ("ngspice", *_OTHERS)
"""Names of all dialects; ngspice's is the netlist's own."""


def format_netlist(netlist: Netlist, dialect: str = "ngspice") -> str:
    """Format a netlist for a simulator.

    Parameters
    ----------
    netlist : Netlist
        The netlist.
    dialect : {"ngspice", "xyce", "hspice", "spectre", "vacask"}
        The simulator.

    Raises
    ------
    SpecError
        If there is no such dialect, or the netlist says what it cannot.
    """
    return netlist.format() if dialect == "ngspice" else _other(dialect).format(netlist)


def run_command(dialect: str) -> str:
    """Return the command that runs THIS_FILE in a dialect's simulator."""
    return RUN_COMMAND if dialect == "ngspice" else _other(dialect).run


def _other(dialect: str) -> Dialect:
    if dialect not in _OTHERS:
        raise SpecError(f"no dialect {dialect!r}; there are: {', '.join(DIALECTS)}")
    return _OTHERS[dialect]
