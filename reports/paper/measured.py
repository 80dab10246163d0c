"""A quantity of the paper as measured by a study."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Our value of a quantity.

    Attributes:
        value: the number.
        low: lower end of its interval; NaN without one.
        high: upper end of its interval; NaN without one.
        n: number of units that it is from.
        over: units whose spread the interval reflects.
        note: caveat shown with the number.
        opposite_sign: differences behind a P value whose sign is opposite to the paper's.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    over: str = "datasets"
    note: str = ""
    opposite_sign: str = ""


class NotAvailableError(Exception):
    """The study cannot give this number; the message says why."""
