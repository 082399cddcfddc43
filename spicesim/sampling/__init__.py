"""Many simulations: in parallel, kept, resumable."""

from spicesim.sampling.run import (
    find_kept,
    model_hash,
    netlist_hash,
    run_all,
    run_each,
    use_scheduler,
)

__all__ = [
    "find_kept",
    "model_hash",
    "netlist_hash",
    "run_all",
    "run_each",
    "use_scheduler",
]
