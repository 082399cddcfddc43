"""The group of commands, and the one place where errors become exit codes."""

import contextlib
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click

from spicesim.cli.interrupt import INTERRUPTED
from spicesim.errors import SpiceSimError

__all__ = ["cli", "main", "run"]


COMMANDS = {
    "init": "start:init",
    "doctor": "start:doctor",
    "netlist": "netlist:netlist",
    "layout": "layout:layout",
    "characterise": "characterise:characterise",
    "size": "size:size",
    "calibrate": "calibrate:calibrate",
    "fit": "fit:fit",
    "map": "map:map_network",
    "infer": "infer:infer",
    "replay": "replay:replay_command",
    "explain": "explain:explain",
    "schedule": "schedule:schedule",
    "explore": "explore:explore_command",
    "audit": "audit:audit",
    "report": "report:report",
    "demo": "demo:demo",
    "bench": "bench:bench",
    "compare": "compare:compare",
    "figures": "figures:figures",
}
"""Where each command is: its module of this package, and its name there."""


class Commands(click.Group):
    """Imports a command when it is asked for: what all of them need together takes seconds."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return a command, None if there is none of that name."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(f"spicesim.cli.{module}"), attribute)
        return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
    epilog="example: spicesim init --preset generic-1t1r -o chip.toml && spicesim calibrate chip.toml --quick",
)
@click.version_option(package_name="spicesim")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Circuit-level SPICE co-simulation of analog in-memory computing.

    One chip description gives netlists, a calibration against ngspice, and networks run at circuit fidelity. Exit
    status: 0 done, 2 for an error that the user can mend, 1 for a failure of a simulator or of spicesim.
    """


def main(arguments: list[str]) -> None:
    """Run a command and exit."""
    sys.exit(run(arguments, debug="--debug" in arguments))


def run(words: list[str], *, debug: bool) -> int:
    """Run a command and return the exit status; words "-" for a file stand for standard output."""
    try:
        with writing_results(any(word == "-" or word == "-o-" or word.endswith("=-") for word in words)):
            result: Any = cli.main(args=words, prog_name="spicesim", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see: {context.command_path} --help" if context is not None else ""
        _say(f"UsageError: {error.format_message().rstrip('.')}{hint}")
        return 2
    except (KeyboardInterrupt, click.Abort):
        _say(INTERRUPTED)
        return 130
    except SpiceSimError as error:
        if debug:
            traceback.print_exc()
        _say(f"{type(error).__name__}: {error}")
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except MemoryError:
        _say("the machine's memory is exhausted; use fewer --jobs or a smaller batch")
        return 1
    except Exception as error:  # the last line of defence
        if debug:
            traceback.print_exc()
        _say(f"internal failure, {type(error).__name__}: {error}; run again with 'spicesim --debug ...' and report it")
        return 1


@contextlib.contextmanager
def writing_results(to_standard_output: bool) -> Iterator[None]:
    """Have all that a command tells go to standard error, where a result of it goes to standard output."""
    with contextlib.redirect_stdout(sys.stderr) if to_standard_output else contextlib.nullcontext():
        yield


def _say(message: str) -> None:
    # a message quotes what files hold, and that may be meant for the terminal
    line = " ".join(message.split())
    click.echo("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), err=True)
