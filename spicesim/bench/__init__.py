"""Benchmarks: this package's ways to solve an array, and others', in one table of ratios and errors."""
