"""Stability (paper, Fig. 4f): effect of moving the guiding slice away from the largest one.

Levels are absolute deviations, both signs together, as in the paper. In an object with few slices
a deviation may have no effect: 5 % of fewer than 20 slices is a ``shift`` of 0.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmark.analysis import checks, levels

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Compare the deviations in ``tables["scores"]``, for each method with more than one."""
    scores = tables["scores"]
    checks.require_columns(scores, [levels.METRIC], "The table of scores")
    rows = scores[(scores["variant"] == "") & ~scores["method"].isin(settings.controls)]
    moved = rows.groupby("method")["deviation"].transform("nunique") > 1
    rows = rows[moved].reset_index(drop=True)
    parts = []
    for selection, level in levels.SELECTIONS.items():
        part = rows[rows["level"] == level]
        moved_to = part["shift"].astype(float).where(part["deviation"] != 0, 1)
        affected = np.sign(moved_to.abs()) if selection == "effective" else 1.0
        parts.append(
            part.assign(
                selection=selection,
                level=part["deviation"].abs(),
                baseline=0.0,
                value=part[levels.METRIC],
                affected=affected,
                extent=part["shift"].astype(float).abs().where(part["deviation"] != 0, 0.0),
            )
        )
    return levels.tables(pd.concat(parts, ignore_index=True), settings, "stability")
