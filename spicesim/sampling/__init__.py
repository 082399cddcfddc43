"""Many simulations: in parallel, kept, resumable."""

from spicesim.sampling.run import (
    are_threads,
    find_kept,
    model_hash,
    netlist_hash,
    run_all,
    run_each,
    use_scheduler,
)

__all__ = [
    "are_threads",
    "find_kept",
    "model_hash",
    "netlist_hash",
    "run_all",
    "run_each",
    "use_scheduler",
]
