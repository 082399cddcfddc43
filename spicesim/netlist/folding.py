"""Long lines folded by a simulator's continuation mark: HSPICE reads 1024 characters of a line, people fewer."""

import re

__all__ = ["LONGEST", "fold_line", "fold_text"]

LONGEST = 250
"""Characters of a line that is left as it is."""
_WIDTH = 110
"""Of the lines that a longer one is folded into."""
_LONG = re.compile(rf"^[^\n]{{{LONGEST + 1},}}$", re.MULTILINE)
_WORD = re.compile(r"(?:'[^']*'|\"[^\"]*\"|\{[^}\"]*\}|\{(?=[^}]*\")|[^\s'\"{])+")


def fold_line(line: str, *, comments: tuple[str, ...], head: str = "+ ", tail: str = "") -> str:
    """Fold a line between its words, quoted and braced ones whole; comments, and lines of usual length, stay.

    Braced lists of quoted names are folded between these.

    Parameters
    ----------
    line : str
        The line.
    comments : tuple of str
        What a comment starts with, at the begin of a line or behind a space.
    head, tail : str
        What a line begins with that continues another one, and what one ends with that is continued.
    """
    if len(line) <= LONGEST or line.startswith(comments):
        return line
    code, note = line, ""
    for mark in comments:
        start = code.find(f" {mark} ")
        if start >= 0:
            code, note = code[:start], code[start:] + note
    indent = line[: len(line) - len(line.lstrip())]
    lines: list[str] = []
    for word in _WORD.findall(code):
        if lines and len(lines[-1]) + len(word) < _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append((head if lines else indent) + word)
    return f"{tail}\n".join(lines) + note


def fold_text(text: str, *, comments: tuple[str, ...]) -> str:
    """Fold the long lines of a text as :func:`fold_line` does; a large array has few of them among many short ones."""
    return _LONG.sub(lambda found: fold_line(found[0], comments=comments), text)
