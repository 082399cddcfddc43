"""From a chip description to netlists."""
