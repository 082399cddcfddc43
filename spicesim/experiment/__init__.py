"""Runs of networks on chips: what to run, the chip that a plan describes, what came out, and all that is told of it.

:class:`~spicesim.experiment.plan.RunPlan` says everything that decides a result; :mod:`~spicesim.experiment.chip` makes
the chip of it, :mod:`~spicesim.experiment.run` runs a network on it, :mod:`~spicesim.experiment.replay` does so again.
"""
