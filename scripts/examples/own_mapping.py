"""A mapping of one's own: weights below 2 % of the largest of their layer are left out, so that their cells draw least.

On the command line: spicesim infer .. --mapper own_mapping:map_pruned, in the folder that holds this file.
"""

import numpy as np

import spicesim
from spicesim.mapping import map_weights
from spicesim.network import digits_network, load_digits

LEAST = 0.02


def map_pruned(weights, array, conductance_range, **words):
    """Map weights, the small ones as zeros."""
    kept = np.where(np.abs(weights) < LEAST * np.abs(weights).max(), 0.0, weights)
    return map_weights(kept, array, conductance_range, **words)


def main():
    chip = spicesim.preset("generic-1t1r").changed(array={"rows": 16, "columns": 16})
    calibration = spicesim.calibrate(chip, quick=True, aspects=())
    for mapper in (None, "own_mapping:map_pruned"):
        plan = spicesim.RunPlan(mapping={"mapper": mapper}, gains=False)
        found = spicesim.run(plan, digits_network("mlp"), load_digits().x[:50], calibration)
        total = sum(tile.g.sum() for layer in found.network.tiles() for tile in layer)
        print(f"{mapper or 'map_weights'}: {1e3 * total:.2f} mS of cells in all")


if __name__ == "__main__":
    main()
