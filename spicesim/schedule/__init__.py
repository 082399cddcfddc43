"""When a network's products run on stacked arrays: who waits for whom, how long an input takes, and what it costs."""

from spicesim.schedule.outcome import Outcome
from spicesim.schedule.placement import GROUPINGS, Placement, place
from spicesim.schedule.routing import Experts, Routing
from spicesim.schedule.simulation import simulate
from spicesim.schedule.stack import Stacks, load_stacks
from spicesim.schedule.work import WorkLayer, Workload, gather_work

__all__ = [
    "GROUPINGS",
    "Experts",
    "Outcome",
    "Placement",
    "Routing",
    "Stacks",
    "WorkLayer",
    "Workload",
    "gather_work",
    "load_stacks",
    "place",
    "simulate",
]
