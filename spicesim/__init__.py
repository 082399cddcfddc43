"""Circuit-level SPICE co-simulation of analog in-memory computing."""
