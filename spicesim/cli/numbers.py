"""Numbers as words of a command: themselves, or the file that holds them."""

import re

import numpy as np

from spicesim.arrays import Array
from spicesim.errors import SpecError
from spicesim.files.arrays import read_array
from spicesim.units import parse_quantity

__all__ = ["read_numbers"]

_FILES, _BEGINS = (".npy", ".csv", ".txt"), re.compile(r"\s*[-+]?\.?\d")


def read_numbers(word: str, what: str) -> Array:
    """Return the numbers that a word of a command is, or those of the file that it names.

    Parameters
    ----------
    word : str
        Numbers with commas, and rows of a table with semicolons between them, each with a prefix and a unit if need be,
        such as "10u,20u;30u,5u"; or a .npy, .csv or text file.
    what : str
        What they are, for messages.

    Raises
    ------
    SpecError
        If it is neither, or rows are not equally long.
    """
    if word.endswith(_FILES) or not _BEGINS.match(word):
        return read_array(word, what)
    try:
        rows = [[parse_quantity(number) for number in row.split(",")] for row in word.split(";")]
    except SpecError as error:
        raise SpecError(f"cannot read the {what}: {error}; a file whose name begins as a number is ./NAME") from None
    if len({len(row) for row in rows}) > 1:
        raise SpecError(
            f"the {what} are rows of {' and '.join(str(len(row)) for row in rows)} numbers; give each as many"
        )
    return np.array(rows[0] if len(rows) == 1 else rows)
