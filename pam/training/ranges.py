"""Types of ranges that values are drawn from: (minimum, maximum)."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] <= ends[1]:
        raise ValueError(f"{ends[0]} to {ends[1]}: the lesser end comes first")
    return ends


_Order = AfterValidator(_ordered)
Ratios = Annotated[tuple[Annotated[float, Field(ge=1)], Annotated[float, Field(le=10)]], _Order]
Positive = Annotated[tuple[Annotated[float, Field(gt=0)], float], _Order]
Percentiles = Annotated[
    tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(le=100)]], _Order
]
Counts = Annotated[tuple[Annotated[int, Field(ge=1)], int], _Order]
Sides = Annotated[tuple[Annotated[int, Field(ge=16)], int], _Order]  # smaller ones hold no object
