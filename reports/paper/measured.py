"""A number of the paper as a study gives it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Our number with its interval (NaN where it has none) and how many units it is from.

    ``over``: the units whose spread the interval tells of.
    ``other_way``: differences behind a P value that are not the way that the paper's are; or empty.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    over: str = "datasets"
    note: str = ""
    other_way: str = ""


class NotHereError(Exception):
    """A number that this study cannot give; the message says why."""
