"""Which layers are an expert's, and which experts each token chose."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Array, Floats, Integers
from spicesim.errors import SpecError

__all__ = ["Experts", "Routing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """How layers of experts are found: by their names.

    Raises
    ------
    SpecError
        If an expression is none, or lacks its groups.
    """

    pattern: str = r"blocks\.(\d+)/experts\.(\d+)/"
    """Regular expression of an expert's layers; its groups are the block and the expert, counted from 0."""
    router: str = r"blocks\.(\d+)/router/"
    """Of a block's router, for which its experts wait; its group is the block."""
    output: str = "choices"
    """The network's output that says what was chosen: integers (batch, tokens, blocks, chosen)."""

    def __post_init__(self) -> None:
        for text, groups in ((self.pattern, 2), (self.router, 1)):
            try:
                found = re.compile(text).groups
            except re.error as problem:
                raise SpecError(f"{text!r} is no regular expression: {problem}") from None
            if found != groups:
                raise SpecError(f"{text!r} has {found} groups in parentheses; {groups} are wanted")

    def expert(self, layer: str) -> tuple[int, int] | None:
        """Return block and number of the expert that a layer is of; None of all others."""
        found = re.search(self.pattern, layer)
        return None if found is None else (int(found[1]), int(found[2]))

    def routed(self, layer: str) -> int | None:
        """Return the block that a layer is the router of; None of all others."""
        found = re.search(self.router, layer)
        return None if found is None else int(found[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routing:
    """What the routers of a network chose.

    Raises
    ------
    SpecError
        If the choices are no experts.
    """

    choices: Integers
    """Experts, shape (tokens, blocks, chosen)."""
    experts: int
    """Experts of a block."""

    def __post_init__(self) -> None:
        found = np.asarray(self.choices)
        if found.ndim != 3 or found.dtype.kind not in "iu":
            raise SpecError(f"choices must be integers (tokens, blocks, chosen), got {found.dtype} {found.shape}")
        if found.size and not (found.min() >= 0 and found.max() < self.experts):
            raise SpecError(f"choices must be experts 0..{self.experts - 1}, got {found.min()}..{found.max()}")
        if (np.diff(np.sort(found, axis=2), axis=2) == 0).any():
            raise SpecError("a token chose an expert twice; choices must be those of a router, the best few")

    @classmethod
    def of_output(cls, output: Array, experts: int) -> "Routing":
        """Read an output (batch, tokens, blocks, chosen), or (batch, blocks, chosen).

        Tokens of one place in all texts follow each other: those under way at a time are of several texts.
        """
        found = np.asarray(output)
        if found.ndim == 4:
            found = np.moveaxis(found, 1, 0).reshape(-1, *found.shape[2:])
        return cls(choices=found.astype(np.int64) if found.dtype.kind in "iu" else found, experts=experts)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.choices)

    def some(self, tokens: Integers) -> "Routing":
        """Return what some of the tokens chose, by their numbers."""
        return Routing(choices=self.choices[tokens], experts=self.experts)

    def together(self) -> Floats:
        """Return how often two experts were chosen by one token, shape (blocks, experts, experts), as shares of tokens.

        The diagonal is how often each was chosen.
        """
        tokens, blocks, _ = self.choices.shape
        chosen = np.zeros((tokens, blocks, self.experts))
        np.put_along_axis(chosen, self.choices, 1.0, axis=2)
        return np.asarray(np.einsum("tbi,tbj->bij", chosen, chosen) / max(tokens, 1))

    def conflicts(self, groups: Sequence[Sequence[int]] | Integers) -> float:
        """Return the share of (token, block) of which two chosen experts share a group; 0 without any.

        Parameters
        ----------
        groups : array_like of int, shape (blocks, experts)
            The group that each expert is in.
        """
        if not self.choices.size:
            return 0.0
        found = np.sort(np.take_along_axis(np.asarray(groups)[None], self.choices, axis=2), axis=2)
        return float((np.diff(found, axis=2) == 0).any(axis=2).mean())
