"""Netlists of all blocks of the catalogue: the testbenches of their data sheets."""

from collections.abc import Collection

import click

from spicesim.characterise import BLOCKS, WORDS, Block
from spicesim.cli.netlist_file import file_options, finish
from spicesim.cli.options import open_chip

__all__ = ["BlockGroup", "block_commands"]


class BlockGroup(click.Group):
    """A group with a command a block, which also takes the other words for blocks."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command."""
        return super().get_command(ctx, WORDS.get(cmd_name, cmd_name))


def _command(block: Block) -> click.Command:
    @click.command(
        block.name,
        help=f"Write a testbench of the {block.title}.",
        epilog=f"example: spicesim netlist {block.name} --chip generic-1t1r -o {block.name}.cir",
    )
    @file_options
    @click.option("--bench", metavar="NAME", help="Which testbench of its data sheet.  [default: the first]")
    def write(chip_path: str | None, output: str | None, dialect: str, bench: str | None) -> None:
        finish(block.netlist(open_chip(chip_path), bench), output, dialect)

    return write


def block_commands(apart: Collection[str]) -> tuple[click.Command, ...]:
    """Make a command for each block, but for those that have commands of their own."""
    return tuple(_command(block) for block in BLOCKS.values() if block.name not in apart)
