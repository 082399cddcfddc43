"""The catalogue of circuit blocks: one record a block, from which commands, lists and the documentation follow."""

from collections.abc import Callable
from dataclasses import dataclass

from spicesim.characterise.bench import Bench
from spicesim.characterise.bias import bias_bench
from spicesim.characterise.cell import cell_bench
from spicesim.characterise.charge_dac import charge_dac_bench
from spicesim.characterise.comparator import comparator_bench
from spicesim.characterise.current_dac import current_dac_bench
from spicesim.characterise.dac import dac_bench
from spicesim.characterise.devices import differential_bench, pcm_bench, selector_bench
from spicesim.characterise.hold import hold_bench
from spicesim.characterise.integrator import integrator_bench
from spicesim.characterise.mirror import mirror_bench
from spicesim.characterise.opamp import opamp_bench, ota_bench
from spicesim.characterise.plane_adder import plane_adder_bench
from spicesim.characterise.ramp_adc import ramp_adc_bench
from spicesim.characterise.sar_adc import sar_adc_bench
from spicesim.characterise.sense_amplifier import sense_amplifier_bench
from spicesim.characterise.word_line_driver import word_line_driver_bench
from spicesim.characterise.writes import ecram_bench, pcm_state_bench, rram_gap_bench
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist
from spicesim.own_code import is_own, load_own

__all__ = ["BLOCKS", "WORDS", "Block", "find_block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A circuit block."""

    name: str
    """Its name everywhere: in commands, files, data sheets and modules."""
    section: str
    """Section of the chip with its sizes."""
    title: str
    """What it is, in a few words."""
    sheet: str
    """What its data sheet says."""
    bench: Callable[[Chip], Bench]
    """Builds its netlists for a chip, with what makes the data sheet of their results."""
    short: str = ""
    """Another word for it in commands."""

    def netlist(self, chip: Chip, bench: str | None = None) -> Netlist:
        """Build one of its testbenches, by default the first.

        Raises
        ------
        SpecError
            If there is none of that name.
        """
        netlists = self.bench(chip).netlists
        name = next(iter(netlists)) if bench is None else bench
        if name not in netlists:
            raise SpecError(f"{self.name} has no testbench {name!r}; there are: {', '.join(netlists)}")
        return netlists[name]


_RECORDS = (
    Block(
        name="dac",
        section="dac",
        title="DAC of a word line, R-2R with a buffer or your own",
        sheet="INL, DNL, output resistance, settling, energy",
        bench=dac_bench,
    ),
    Block(
        name="sense_amplifier",
        section="sense_amplifier",
        title="transimpedance amplifier",
        sheet="gain, swing, bandwidth, phase margin, noise, settling",
        bench=sense_amplifier_bench,
        short="senseamp",
    ),
    Block(
        name="opamp",
        section="sense_amplifier",
        title="operational amplifier by itself",
        sheet="gain, phase margin by load, rejections, ranges, slew, noise, power",
        bench=opamp_bench,
    ),
    Block(
        name="ota",
        section="integrator",
        title="transconductance amplifier by itself",
        sheet="the same of the integrators' amplifier",
        bench=ota_bench,
    ),
    Block(
        name="bias",
        section="bias",
        title="bias generator and its mirrors",
        sheet="current, line regulation, temperature, start-up, recovery, noise, power, pairs (with --samples)",
        bench=bias_bench,
    ),
    Block(
        name="cell",
        section="cell",
        title="memory cell",
        sheet="conductance, nonlinearity, on/off ratio, access transistor",
        bench=cell_bench,
    ),
    Block(
        name="comparator",
        section="comparator",
        title="StrongARM comparator",
        sheet="delay, kickback, energy, offset (with --samples)",
        bench=comparator_bench,
    ),
    Block(
        name="hold",
        section="hold",
        title="hold switch of a floating bit line",
        sheet="pedestal, time constant, noise, energy",
        bench=hold_bench,
    ),
    Block(
        name="plane_adder",
        section="hold",
        title="adder of bit planes as charge",
        sheet="weights, DNL, offset, pedestal",
        bench=plane_adder_bench,
    ),
    Block(
        name="integrator",
        section="integrator",
        title="switched integrator",
        sheet="capacitor, pedestal, linearity, droop, gain, power",
        bench=integrator_bench,
    ),
    Block(
        name="mirror",
        section="mirror",
        title="current-mirror readout",
        sheet="copy, input and output resistance, compliance, settling",
        bench=mirror_bench,
    ),
    Block(
        name="word_line_driver",
        section="word_line_driver",
        title="word-line driver, a switch between two voltages",
        sheet="resistance at both levels, delay, edges, energy a pulse",
        bench=word_line_driver_bench,
        short="wldriver",
    ),
    Block(
        name="charge_dac",
        section="charge_dac",
        title="charge-redistribution DAC",
        sheet="INL, DNL, pedestal, settling, energy",
        bench=charge_dac_bench,
        short="chargedac",
    ),
    Block(
        name="current_dac",
        section="current_dac",
        title="current-steering DAC",
        sheet="INL, DNL, output resistance, compliance, settling, power",
        bench=current_dac_bench,
        short="currentdac",
    ),
    Block(
        name="sar_adc",
        section="sar_adc",
        title="successive-approximation ADC",
        sheet="INL, DNL, offset, ENOB, energy (half a minute)",
        bench=sar_adc_bench,
        short="adc",
    ),
    Block(
        name="ramp_adc",
        section="ramp_adc",
        title="single-slope ADC, one staircase for all columns",
        sheet="INL, DNL, offset, energy, time (a minute)",
        bench=ramp_adc_bench,
    ),
    Block(
        name="1s1r",
        section="cell",
        title="1S1R cell",
        sheet="current when selected, half selected, at a third; on/off ratio",
        bench=selector_bench,
    ),
    Block(
        name="2t2r",
        section="cell",
        title="2T2R cell",
        sheet="difference of currents over that of conductances, error at zero",
        bench=differential_bench,
    ),
    Block(
        name="pcm",
        section="cell",
        title="phase-change device",
        sheet="conductance, nonlinearity, drift",
        bench=pcm_bench,
    ),
    Block(
        name="pcm_state",
        section="cell",
        title="phase-change device in writes",
        sheet="times and energies of set and reset, on/off ratio",
        bench=pcm_state_bench,
    ),
    Block(
        name="ecram",
        section="cell",
        title="electrochemical device in writes",
        sheet="change a pulse, its symmetry, range, energy",
        bench=ecram_bench,
    ),
    Block(
        name="rram_gap",
        section="cell",
        title="filamentary device in writes",
        sheet="times and energies of set and reset, on/off ratio",
        bench=rram_gap_bench,
    ),
)

BLOCKS = {block.name: block for block in _RECORDS}
"""Blocks by name."""

WORDS = {block.short: block.name for block in _RECORDS if block.short}
"""Names by the other words for them in commands."""


def find_block(word: str) -> Block:
    """Return the block of that name, or of another word for it, or a record of one's own, ``package.module:NAME``.

    Raises
    ------
    SpecError
        If there is none.
    """
    if is_own(word):
        found = load_own(word)
        if not isinstance(found, Block):
            raise SpecError(f"{word!r} must be a record, a spicesim.characterise.Block, got {type(found).__name__}")
        return found
    name = WORDS.get(word, word)
    if name not in BLOCKS:
        raise SpecError(f"no block {word!r}; there are: {', '.join(BLOCKS)}, or package.module:NAME (see --list)")
    return BLOCKS[name]
