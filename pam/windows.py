"""Intensity normalisation: the paper's dynamic window, or a fixed clinical one."""

from typing import Literal

Normalisation = Literal["dynamic", "soft-tissue", "lung", "bone", "brain"]
"""``dynamic``, or a name of `benchmark.windows.CLINICAL`."""
