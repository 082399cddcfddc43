"""What a campaign is, and the verdicts on its cases.

A campaign is a module of this package with two functions, and two more if it can::

    def case(seed: int) -> Case: ...                   # the same case for the same seed, on every machine
    def judge(case: Case) -> Verdict: ...              # ask the package, and compare
    def simpler(case: Case) -> Iterator[Case]: ...     # simpler cases, the simplest first, to minimise failures
    def prepare() -> None: ...                         # what all cases share and no case should be charged with

A case has a method ``script``, which returns Python or shell text that shows the failure by itself. `judge` lets
errors of the package pass: :func:`find_verdict` takes a :class:`~spicesim.errors.SpiceSimError` for a refusal and any
other exception for a crash. A refusal that says too little, a judge calls wrong itself.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, Protocol

from spicesim.errors import SpiceSimError

Kind = Literal["right", "refused", "wrong", "crash", "slow"]
KINDS: tuple[Kind, ...] = ("right", "refused", "wrong", "crash", "slow")
FAILURES: tuple[Kind, ...] = ("wrong", "crash", "slow")
LONGEST_MESSAGE = 600


class Case(Protocol):
    def script(self) -> str: ...


@dataclass(frozen=True)
class Verdict:
    kind: Kind
    detail: str = ""
    """What is wrong, or the message of the refusal."""


def find_verdict(campaign: ModuleType, case: Case) -> Verdict:
    """Judge a case; no exception leaves this, except those that end a program."""
    try:
        return campaign.judge(case)
    except SpiceSimError as error:
        message = str(error)
        if "\n" in message.strip() or not message.strip() or len(message) > LONGEST_MESSAGE:
            return Verdict("wrong", f"a refusal of {len(message)} characters, not one line: {message[:200]!r}")
        return Verdict("refused", f"{type(error).__name__}: {message}")
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Verdict("crash", f"{type(error).__name__}: {str(error)[:300]} ({where.filename}:{where.lineno})")


def minimise(campaign: ModuleType, case: Any, kind: Kind, seconds: float = 5.0) -> Any:
    """Return the simplest case found in about that time with a verdict of the same kind."""
    end = time.monotonic() + seconds
    simpler: Callable[[Any], Iterator[Any]] | None = getattr(campaign, "simpler", None)
    while simpler is not None and time.monotonic() < end:
        for candidate in simpler(case):
            if find_verdict(campaign, candidate).kind == kind:
                case = candidate
                break
            if time.monotonic() >= end:
                break
        else:
            break
    return case
