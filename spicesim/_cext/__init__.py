"""Compiled kernels; not for users. Sources and method: the folder cext."""
