"""How intensities are normalised: by the dynamic window of the paper, or a fixed clinical one."""

from typing import Literal

Normalisation = Literal["dynamic", "soft-tissue", "lung", "bone", "brain"]
"""``dynamic``, or a name of `benchmark.windows.CLINICAL`."""
