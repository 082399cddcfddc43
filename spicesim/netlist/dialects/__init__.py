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
from spicesim.own_code import is_own, load_class

__all__ = ["DIALECTS", "find_dialect", "format_netlist", "run_command"]

_OTHERS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Xyce(), Hspice(), Spectre(), Vacask())}

DIALECTS = ("ngspice", *_OTHERS)
"""Names of all dialects; ngspice's is the netlist's own."""


def format_netlist(netlist: Netlist, dialect: str = "ngspice") -> str:
    """Format a netlist for a simulator.

    Parameters
    ----------
    netlist : Netlist
        The netlist.
    dialect : {"ngspice", "xyce", "hspice", "spectre", "vacask"}, or package.module:Name
        The simulator; one's own is a subclass of :class:`~spicesim.netlist.dialects.dialect.Dialect`.

    Raises
    ------
    SpecError
        If there is no such dialect, or the netlist says what it cannot.
    """
    return netlist.format() if dialect == "ngspice" else find_dialect(dialect).format(netlist)


def run_command(dialect: str) -> str:
    """Return the command that runs THIS_FILE in a dialect's simulator."""
    return RUN_COMMAND if dialect == "ngspice" else find_dialect(dialect).run


def find_dialect(word: str) -> Dialect:
    """Return a dialect other than ngspice's, by its name or as ``package.module:Name``.

    Raises
    ------
    SpecError
        If there is none.
    """
    if is_own(word):
        own: Dialect = load_class(word, Dialect)()
        return own
    if word not in _OTHERS:
        raise SpecError(f"no dialect {word!r}; there are: {', '.join(DIALECTS)}, or package.module:Name")
    return _OTHERS[word]
