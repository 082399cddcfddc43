"""Options that make a plan of a run: each stands for a field of :class:`~spicesim.experiment.plan.RunPlan`."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import click

from spicesim.chip.section import Section
from spicesim.errors import SpecError
from spicesim.experiment.plan import MappingPlan, RunPlan, load_plan, make_plan

__all__ = ["mapping_options", "plan_options"]

_METAVARS = {
    "engine": "ENGINE", "tolerance": "T", "device": "NAME", "time": "TIME", "t_read": "TIME", "temperature_c": "C",
    "corner": "NAME", "mismatch": "S", "seed": "S", "weight_clip": "P", "cell_bits": "BITS", "input_digit": "BITS",
    "digital": "NODE", "batch_axis": "NAME=AXIS", "mapper": "NAME", "metric": "NAME", "converter": "NAME",
    "smooth": "A",
}  # fmt: skip
"""Of options that do not take a number N."""
_NAMES = {"chips": "seeds", "temperature_c": "temperature"}
"""Of options that are not called as their field."""
_SWITCHES = {
    "wires": ("no-wires", "Leave out line resistance."),
    "drift_compensation": ("no-drift-compensation", "Leave the mean drift of a tile as it is."),
}
"""Options that turn off what is on by default."""
_OTHERWISE = {"schema_version", "places", "gains", "mapping"}
"""Fields whose options are spelt out below."""

Command = Callable[..., Any]


def _option(name: str, field: Any, meaning: str) -> Callable[[Command], Command]:
    """Return the option of a field."""
    if name in _SWITCHES:
        flag, text = _SWITCHES[name]
        return click.option(f"--{flag}", f"plan_{name}", flag_value=False, default=None, type=bool, help=text)
    flag, text = f"--{_NAMES.get(name, name).replace('_', '-')}", " ".join(meaning.split())
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    if field.annotation is bool:
        return click.option(flag, f"plan_{name}", is_flag=True, default=None, help=text)
    if get_origin(field.annotation) is Literal:
        text += f"  [default: {field.default}]"
        return click.option(flag, f"plan_{name}", type=click.Choice(get_args(field.annotation)), help=text)
    many = get_origin(field.annotation) is tuple
    if field.default is not None and not many and "default" not in text:
        text += (
            f"  [default: {field.default:g}]" if field.default.__class__ is float else f"  [default: {field.default}]"
        )
    kind = int if int in kinds and float not in kinds else str
    return click.option(
        flag, f"plan_{name}", type=kind, metavar=_METAVARS.get(name, "N"), multiple=many, default=None, help=text
    )


def _options(model: type[Section], *, without: Sequence[str] = ()) -> list[Callable[[Command], Command]]:
    left_out = {*_OTHERWISE, *without}
    meanings = model.meanings()
    return [_option(name, field, meanings[name]) for name, field in model.model_fields.items() if name not in left_out]


_SPELT = (
    click.option(
        "--plan", "plan_path", metavar="RUN.toml", help="Take what is not given here from a plan, in TOML or JSON."
    ),
    click.option(
        "--engine-for", metavar="LAYER[:TILE]=ENGINE", multiple=True,
        help="Another engine for a layer or a tile, such as layer3:tile2=exact, counted from 0 or by name; repeatable.",
    ),
    click.option(
        "--ngspice", "ngspice_for", metavar="LAYER[:TILE]", multiple=True, help="The same as LAYER[:TILE]=ngspice."
    ),
    click.option(
        "--gain/--no-gain", "plan_gains", default=None, help=" ".join(RunPlan.meanings()["gains"].split()),
    ),
)  # fmt: skip


def plan_options(*, without: Sequence[str] = (), **defaults: Any) -> Callable[[Command], Command]:
    """Return what adds the options of a plan to a command, which gets it as `plan`.

    Parameters
    ----------
    without : sequence of str
        Fields that the command has no option for.
    **defaults
        Fields that the command has other defaults for.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def collect(
            *, plan_path: str | None, engine_for: Sequence[str], ngspice_for: Sequence[str], **words: Any
        ) -> Any:
            given, others = _take(words)
            own = {name: given.pop(name) for name in MappingPlan.model_fields if name in given}
            base = RunPlan() if plan_path is None else load_plan(plan_path)
            document = defaults | base.document()
            places = document.get("places", {}) | _places(engine_for, ngspice_for)
            document |= {"places": places, "mapping": document.get("mapping", {}) | own, **given}
            return command(plan=make_plan(document, "options" if plan_path is None else plan_path), **others)

        return _decorate(collect, [*_SPELT, *_options(RunPlan, without=without), *_options(MappingPlan)])

    return decorate


def mapping_options(command: Command) -> Command:
    """Add the options of a mapping to a command, which gets it as `mapping`."""

    @functools.wraps(command)
    def collect(**words: Any) -> Any:
        given, others = _take(words)
        return command(mapping=make_plan({"mapping": given}, "options").mapping, **others)

    return _decorate(collect, _options(MappingPlan, without=("smooth",)))  # for which it takes typical inputs


def _decorate(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _take(words: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was given of a plan, by field, and the other options."""
    given = {
        name.removeprefix("plan_"): value
        for name, value in words.items()
        if name.startswith("plan_") and value not in (None, ())
    }
    return given, {name: value for name, value in words.items() if not name.startswith("plan_")}


def _places(engine_for: Sequence[str], ngspice_for: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in engine_for:
        place, equals, word = text.rpartition("=")
        if not equals:
            raise SpecError(f"--engine-for wants LAYER[:TILE]=ENGINE, such as layer3:tile2=ngspice, got {text!r}")
        found[place] = word
    return found | dict.fromkeys(ngspice_for, "ngspice")
