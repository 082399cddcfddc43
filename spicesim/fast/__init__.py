"""The fast tier: arrays of nonlinear cells at the speed of a few matrix products, each with its measured error."""
