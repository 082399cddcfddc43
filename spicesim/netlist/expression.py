"""Numbers and expressions of a netlist: read as SPICE means them, checked, and cut into words.

Expressions are those that ngspice, Xyce, HSPICE, Spectre and VACASK all know: numbers with a SPICE suffix, parameters,
``+ - * / < >``, ``a ? b : c``, parentheses, some functions, and in behavioural sources ``v(a)`` and ``v(a,b)``.
"""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache

from spicesim.errors import SpecError, quote

__all__ = [
    "FUNCTIONS",
    "evaluate_expression",
    "join_expression",
    "plain_number",
    "read_number",
    "rewrite_calls",
    "split_expression",
]

FUNCTIONS = frozenset(["abs", "cosh", "exp", "floor", "ln", "max", "min", "pwr", "sinh", "sqrt", "tanh"])
"""Functions that an expression may call; ``pwr(x, y)`` is ``abs(x)`` to the power of y."""

_CALLS: dict[str, Callable[..., float]] = {
    "abs": abs,
    "exp": math.exp,
    "floor": math.floor,
    "ln": math.log,
    "max": max,
    "min": min,
    "sqrt": math.sqrt,
}
_SUFFIXES = {"t": 12, "g": 9, "meg": 6, "k": 3, "": 0, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18}
_NUMBER = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(meg|[tgkmunpfa]?)(?![a-z0-9_.])", re.IGNORECASE)
_SIGNED = re.compile(rf"([-+]?){_NUMBER.pattern}", re.IGNORECASE)
_ATOM = re.compile(rf"{_NUMBER.pattern}|[a-z_]\w*", re.IGNORECASE)
_WORD = re.compile(rf"\s*(?:(?P<number>{_NUMBER.pattern})|(?P<name>[a-z_]\w*)|(?P<sign>[-+*/(),<>?:]))", re.IGNORECASE)


@lru_cache(maxsize=4096)  # a netlist has the same few numbers many times
def read_number(text: str) -> float:
    """Read a number as SPICE means it: ``5u`` is 5e-6, ``1meg`` is 1e6, ``1m`` and ``1M`` are 1e-3.

    Raises
    ------
    SpecError
        If it is no number.
    """
    found = _SIGNED.fullmatch(text.strip())
    if found is None:
        raise SpecError(f"expected a number such as 5e-06 or 5u, got {quote(text)}")
    try:
        number = float(Decimal(found[1] + found[2]).scaleb(_SUFFIXES[found[3].lower()]))
    except ArithmeticError:  # an exponent beyond all doubles
        number = math.inf
    if not math.isfinite(number):
        raise SpecError(f"expected a finite number, got {quote(text)}")
    return number


def plain_number(text: str) -> str:
    """Write a SPICE number with a suffix as one with an exponent, which every simulator reads alike."""
    found = _SIGNED.fullmatch(text.strip())
    if found is None:
        raise SpecError(f"expected a number such as 5e-06 or 5u, got {quote(text)}")
    exponent = _SUFFIXES[found[3].lower()]
    if not exponent:
        return found[1] + found[2]
    return f"{found[1]}{found[2]}e{exponent}" if "e" not in found[2].lower() else repr(read_number(text))


def split_expression(text: str) -> list[str]:
    """Cut an expression into numbers, names, operators; braces and quotes around it or within it are parentheses.

    Raises
    ------
    SpecError
        If it holds what not all simulators know.
    """
    text = text.strip()
    if text[:1] + text[-1:] in ("''", "{}") and "{" not in text[1:]:
        text = text[1:-1]
    if _ATOM.fullmatch(text):  # nearly all are, and there may be 100,000
        return [text.lower()]
    text = text.replace("{", "(").replace("}", ")").strip()
    words: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        found = _WORD.match(text, at)
        if found is None:
            raise SpecError(
                f"expression {text!r}: {text[at : at + 10]!r} is not known to all simulators; write it anew"
            )
        if found["name"] and text[found.end() :].lstrip().startswith("("):
            name = found["name"].lower()
            if name == "v":
                end = text.find(")", found.end())
                words.append("v" + re.sub(r"\s", "", text[found.end() : end + 1]).lower())
                at = end + 1
                continue
            if name not in FUNCTIONS:
                raise SpecError(f"expression {text!r}: no function {name!r}; there are {', '.join(sorted(FUNCTIONS))}")
        if found["sign"] == "*" and words[-1:] == ["*"]:
            raise SpecError(f"expression {text!r}: write powers as products, dialects differ in **")
        words.append(found[0].strip().lower())
        at = found.end()
    if words.count("(") != words.count(")") or not words:
        raise SpecError(f"expression {text!r}: parentheses do not match, or it is empty")
    return words


def evaluate_expression(text: str, scope: Mapping[str, float]) -> float:
    """Compute an expression of numbers and the parameters in `scope`.

    Raises
    ------
    SpecError
        If it names a parameter that is not there, or something that depends on voltages.
    """
    try:
        value, rest = _compare(split_expression(text), scope)
    except (ArithmeticError, ValueError, TypeError, RecursionError) as error:
        raise SpecError(f"cannot compute {text[:60]!r}: {error or type(error).__name__}") from None
    if rest:
        raise SpecError(f"cannot compute {text[:60]!r}: did not expect {rest[0]!r}")
    return value


def _compare(words: list[str], scope: Mapping[str, float]) -> tuple[float, list[str]]:
    """Compute what stands at the head of `words`, and return what is left of them."""
    value, words = _add(words, scope)
    while words[:1] in (["<"], [">"]):
        other, rest = _add(words[1:], scope)
        value, words = float(value < other if words[0] == "<" else value > other), rest
    return value, words


def _add(words: list[str], scope: Mapping[str, float]) -> tuple[float, list[str]]:
    value, words = _multiply(words, scope)
    while words[:1] in (["+"], ["-"]):
        other, rest = _multiply(words[1:], scope)
        value, words = value + other if words[0] == "+" else value - other, rest
    return value, words


def _multiply(words: list[str], scope: Mapping[str, float]) -> tuple[float, list[str]]:
    value, words = _atom(words, scope)
    while words[:1] in (["*"], ["/"]):
        other, rest = _atom(words[1:], scope)
        value, words = value * other if words[0] == "*" else value / other, rest
    return value, words


def _atom(words: list[str], scope: Mapping[str, float]) -> tuple[float, list[str]]:
    if not words:
        raise SpecError("it ends too early")
    word, *rest = words
    if word in ("+", "-"):
        value, rest = _atom(rest, scope)
        return (value if word == "+" else -value), rest
    if word == "(":
        (value,), rest = _arguments(words, scope, 1)
        return value, rest
    if word in _CALLS and rest[:1] == ["("]:
        values, rest = _arguments(rest, scope, 100)
        return float(_CALLS[word](*values)), rest
    if word[0].isdigit() or word[0] == ".":
        return read_number(word), rest
    if word not in scope:
        raise SpecError(f"no parameter {word!r}")
    return float(scope[word]), rest


def _arguments(words: list[str], scope: Mapping[str, float], most: int) -> tuple[list[float], list[str]]:
    """Compute what stands in parentheses at the head of `words`."""
    values: list[float] = []
    while not values or (words[:1] == [","] and len(values) < most):
        value, words = _compare(words[1:], scope)
        values.append(value)
    if words[:1] != [")"]:
        raise SpecError(f"did not expect {(words or ['the end'])[0]!r}")
    return values, words[1:]


def join_expression(words: list[str]) -> str:
    """Put words together again, without parentheses around single ones."""
    kept: list[str] = []
    for word in words:
        kept.append(word)
        call = len(kept) > 3 and (kept[-4] in FUNCTIONS or kept[-4].startswith("v("))
        if word == ")" and kept[-3:-2] == ["("] and not call:
            kept[-3:] = [kept[-2]]
    return "".join(", " if word == "," else word for word in kept)


def rewrite_calls(words: list[str], rules: Mapping[str, Callable[..., str]]) -> list[str]:
    """Write calls anew: a rule takes the rendered arguments of the function that it is for."""
    written: list[str] = []
    k = 0
    while k < len(words):
        rule = rules.get(words[k])
        if rule is None:
            written.append(words[k])
            k += 1
            continue
        arguments: list[list[str]] = [[]]
        depth = 0
        k += 1
        while True:
            word = words[k]
            depth += (word == "(") - (word == ")")
            k += 1
            if depth == 0:
                break
            if depth == 1 and word == ",":
                arguments.append([])
            elif not (depth == 1 and word == "(" and arguments == [[]]):
                arguments[-1].append(word)
        written.append(rule(*(join_expression(rewrite_calls(argument, rules)) for argument in arguments)))
    return written
