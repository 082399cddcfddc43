"""Studies: many chips tried on a network, the cheap tests first, and the best of them held against ngspice.

:class:`~spicesim.study.description.Study` says what is tried; :mod:`~spicesim.study.search` tries it, and
:mod:`~spicesim.study.front` audits the points that no other beats.
"""
