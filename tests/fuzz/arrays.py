"""Arrays with degenerate, extreme and ordinary wires and cells, against nodal analysis in decimal numbers.

Right is a current that is within 1e-9 of the sum of the magnitudes that its inputs contribute (linear cells); the
same for powers, of the power of the sources. See :class:`spicesim.crossbar.Crossbar` for what is promised.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from fuzz import oracle
from fuzz.verdict import Verdict
from spicesim.cells import Linear, Sinh
from spicesim.crossbar import Crossbar

EXTREME = (0.0, 1e-18, 1e-14, 1e-12, 1e-9, 1e-6, 1e-3, 1.0, 100.0, 1e6, math.inf)
DEGENERATE = (0.0, 1e-6, 1e-3, 1.0, 100.0, 1e6, math.inf)
ORDINARY = (0.0, 0.5, 1.0, 20.0)
CONDUCTANCES = (0.0, 1e-18, 1e-12, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 1.0, 1e6)
ACCURACY = 1e-9
BENT_ACCURACY = 1e-6
ROUNDING = 1e-13
"""Of a sum of some currents."""
FLOOR = 1e-37
"""Less than what one electron in the age of the universe makes, 4e-37 A; also in siemens and watts."""


@dataclass(frozen=True)
class ArrayCase:
    arguments: dict
    """Of Crossbar; lists of numbers, so that they can be printed."""
    kappa: float
    """Of sinh cells; 0 for linear ones."""
    v: list
    mask: list | None
    copies: int
    """Vectors: the first and multiples of it, so that solvers for many vectors are tried."""

    def build(self) -> Crossbar:
        return Crossbar(**self.arguments, cell=Sinh(self.kappa) if self.kappa else Linear())

    @property
    def batch(self) -> np.ndarray:
        return np.array([self.v] + [[x * k / self.copies for x in self.v] for k in range(1, self.copies)])

    def script(self) -> str:
        inputs = (
            f"{self.v}"
            if self.copies == 1
            else f"np.outer([1, *np.arange(1, {self.copies}) / {self.copies}], {self.v})"
        )
        return (
            "import numpy as np\nfrom math import inf\nfrom spicesim.cells import Linear, Sinh\n"
            "from spicesim.crossbar import Crossbar\n"
            f"array = Crossbar(**{self.arguments}, cell={f'Sinh({self.kappa!r})' if self.kappa else 'Linear()'})\n"
            f"print(array.solve({inputs}, mask={self.mask}, fields=True))"
        )


def case(seed: int) -> ArrayCase:
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    drive, sense = str(rng.choice(["left", "right", "both"])), str(rng.choice(["bottom", "both"]))
    wires = [EXTREME, EXTREME, DEGENERATE, ORDINARY][rng.integers(4)]
    finite = [r for r in wires if r < math.inf]

    def draw(values, shape):
        if rng.random() < 0.2:  # all alike
            return np.full(shape, rng.choice(values))
        return rng.choice(values, shape)

    g = draw(CONDUCTANCES, (rows, columns)) if rng.random() < 0.5 else rng.uniform(1e-6, 1e-4, (rows, columns))
    g = np.where(rng.random(g.shape) < rng.choice([0.0, 0.3, 0.8]), 0.0, g)
    v = rng.choice([0.0, 0.1, -0.2, 1.0], rows) if rng.random() < 0.5 else rng.uniform(-0.3, 0.3, rows)
    kappa = float(rng.choice([0.5, 3.0, 20.0, 1e4])) if rng.random() < 0.25 else 0.0
    arguments = {
        "g": g, "r_word_line": draw(wires, (rows, columns + (drive == "both"))),
        "r_bit_line": draw(wires, (rows + (sense == "both"), columns)),
        "r_driver": draw(finite, (rows,)), "r_sense": draw(finite, (columns,)),
    }  # fmt: skip
    arguments = {name: value.tolist() for name, value in arguments.items()} | {"drive": drive, "sense": sense}
    mask = rng.integers(0, 2, rows).tolist() if rng.random() < 0.2 else None
    return ArrayCase(arguments, kappa, v.tolist(), mask, int(rng.choice([1, 1, 17])))


def judge(case: ArrayCase) -> Verdict:
    array, network = case.build(), oracle.Network(**case.arguments)
    wrong = _judge_linear(case, array, network) if case.kappa == 0 else _judge_bent(case, array, network)
    return Verdict("wrong", wrong) if wrong else Verdict("right")


def _judge_linear(case: ArrayCase, array: Crossbar, network: oracle.Network) -> str | None:
    point, transfer = oracle.solve_linear(network, case.v, case.mask)
    contributions = [sum(abs(t * Decimal(x)) for t, x in zip(line, case.v, strict=True)) for line in transfer]
    if case.mask is None:
        matrix = array.transfer_matrix()
        if wrong := _compare("transfer matrix", matrix, transfer, [[abs(x) for x in line] for line in transfer]):
            return wrong
        if wrong := _compare("currents", array.currents(case.v), point.currents, contributions):
            return wrong
        single = array.currents(case.v, precision="single")
        if wrong := _compare("single currents", single, point.currents, contributions, 1e-5, 1e-36):
            return wrong
    solution = array.solve(case.batch, mask=case.mask, fields=True)
    return _judge_solution(case, solution, point, contributions, ACCURACY)


def _judge_bent(case: ArrayCase, array: Crossbar, network: oracle.Network) -> str | None:
    solution = array.solve(case.batch, mask=case.mask, fields=True)
    word, bit = solution.word_line_voltages[0], solution.bit_line_voltages[0]
    if not (np.isfinite(word).all() and np.isfinite(bit).all()):
        return "voltages that are no numbers"
    point = oracle.solve_sinh(network, case.kappa, case.v, word, bit, case.mask)
    if point is None:
        return "an operating point from which the oracle's Newton does not arrive"
    scale = [sum(abs(x) for line in point.cell_currents for x in line)] * len(point.currents)
    return _judge_solution(case, solution, point, scale, BENT_ACCURACY)


def _judge_solution(case, solution, point, contributions, accuracy) -> str | None:
    flow = sum(abs(x) for line in point.cell_currents for x in line)
    top = Decimal(max(map(abs, case.v), default=0.0))
    # what solve promises: Kirchhoff's law at each cell to 1e-11 of the largest slope times the largest voltage
    greatest = max(x for line in case.arguments["g"] for x in line)
    least = Decimal(greatest) * top * len(point.currents) * len(point.row_currents) / 100
    flow += least
    contributions = [x + least for x in contributions]
    checks = [
        ("solved currents", solution.currents[0], point.currents, contributions),
        ("row currents", solution.row_currents[0], point.row_currents, flow),
        ("cell currents", solution.cell_currents[0], point.cell_currents, flow),
    ]
    if not case.kappa:  # where a law is flat, its current says little of its voltage
        checks.append(("cell voltages", solution.cell_voltages[0], point.cell_voltages, top))
        checks.append(("bit-line voltages", solution.bit_line_voltages[0], point.bit_voltages, top))
    for name, found, wanted, scale in checks:
        if wrong := _compare(name, found, wanted, scale, accuracy):
            return wrong
    if solution.top_currents is not None:
        for j, wanted in enumerate(point.top_currents):
            if wanted is not None and (
                wrong := _compare(f"top current {j}", solution.top_currents[0, j], wanted, flow, accuracy)
            ):
                return wrong
    spent = (flow + least) * top
    power = solution.power
    # where cells bend so much that 1e22 A flow round a loop, what their sums round to is spent in the wires
    floor = FLOOR + (ROUNDING * float(flow)) ** 2 * _largest_resistance(case)
    if wrong := _compare("power balance", power.lost[0], Decimal(float(power.sources[0])), spent, accuracy, floor):
        return wrong
    for block, wanted in point.power.items():
        if wrong := _compare(f"power of {block}", getattr(power, block)[0], wanted, spent, accuracy, floor):
            return wrong
    return None


def _largest_resistance(case) -> float:
    ohms = np.concatenate([np.ravel(case.arguments[name]) for name in case.arguments if name.startswith("r_")])
    return float(ohms[np.isfinite(ohms)].max(initial=0.0))


def _compare(name, found, wanted, scale, accuracy=ACCURACY, floor=FLOOR) -> str | None:
    found = np.asarray(found, dtype=float)
    flat = np.array(wanted, dtype=object).ravel()
    scales = np.broadcast_to(np.array(scale, dtype=object), found.shape).ravel()
    if found.size != flat.size:
        return f"{name}: shape {found.shape}"
    for k, (x, y, s) in enumerate(zip(found.ravel().tolist(), flat, scales, strict=True)):
        if not math.isfinite(x) or abs(Decimal(x) - y) > Decimal(accuracy) * s + Decimal(floor):
            return f"{name}[{k}] = {x:.10g}, wanted {y:.10g} to {accuracy:g} of {s:.3g}"
    return None


def simpler(case: ArrayCase) -> Iterator[ArrayCase]:
    """Fewer vectors, rows and columns; plainer numbers."""
    arguments = case.arguments
    if case.copies > 1:
        yield replace(case, copies=1)
    if case.mask is not None:
        yield replace(case, mask=None)
    rows, columns = len(arguments["g"]), len(arguments["g"][0])
    for i in range(rows if rows > 1 else 0):
        rest = {
            **arguments,
            **{name: _without(arguments[name], i) for name in ("g", "r_word_line", "r_bit_line", "r_driver")},
        }
        mask = None if case.mask is None else _without(case.mask, i)
        yield replace(case, arguments=rest, v=_without(case.v, i), mask=mask)
    for j in range(columns if columns > 1 else 0):
        rest = {**arguments, "r_sense": _without(arguments["r_sense"], j)}
        for name in ("g", "r_word_line", "r_bit_line"):
            rest[name] = [_without(line, j) for line in arguments[name]]
        yield replace(case, arguments=rest)
    for i, x in enumerate(case.v):
        for plain in (0.0, 1.0):
            if x not in (0.0, plain):
                yield replace(case, v=[*case.v[:i], plain, *case.v[i + 1 :]])
    for name in ("g", "r_word_line", "r_bit_line", "r_driver", "r_sense"):
        value = np.array(arguments[name])
        for place in np.ndindex(value.shape):
            for plain in (0.0, 1e-5 if name == "g" else 1.0):
                if value[place] not in (0.0, plain):
                    changed = value.copy()
                    changed[place] = plain
                    yield replace(case, arguments={**arguments, name: changed.tolist()})


def _without(items: list, k: int) -> list:
    return items[:k] + items[k + 1 :]
