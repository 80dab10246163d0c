"""Consistency (paper, Fig. 4g): effect of how far one step of the propagation reaches.

A method converts the reach in mm to whole slices, within its limits. Two settings that give the
same number of slices are the same computation and no evidence of stability; for example 10 mm and
40 mm, for slices 1 mm apart or less and a limit of 10 slices.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmark.analysis import checks, levels
from benchmark.errors import UserError, unknown_name

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings, Reach


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Compare the variants in ``settings.thickness`` by their ``tables["scores"]``.

    The distance of slices in ``tables["objects"]`` (``slice_mm``), if given, determines for which
    objects the reach differs.
    """
    scores = tables["scores"]
    checks.require_columns(scores, [levels.METRIC], "The table of scores")
    parts = [scores.head(0).assign(**dict.fromkeys(("selection", "level", "baseline"), None))]
    for method, reach in settings.thickness.items():
        if len(scores):
            checks.require_method(scores, method, "analysis.thickness")
        parts += _cells(scores[scores["method"] == method], method, reach, tables.get("objects"))
    cells = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return levels.tables(cells, settings, "thickness")


def _cells(
    rows: pd.DataFrame, method: str, reach: "Reach", objects: pd.DataFrame | None
) -> list[pd.DataFrame]:
    mm = {"": reach.plain, **reach.variants}
    known = set(rows["variant"])
    for variant in mm:
        if len(rows) and variant not in known:
            message = unknown_name(f"variant of {method}", variant, known - {""})
            raise UserError(f"analysis.thickness: {message}")
    rows = rows[rows["variant"].isin(list(mm)) & (rows["deviation"] == 0)].reset_index(drop=True)
    level = rows["variant"].map(mm).astype(float)
    step = pd.Series(np.nan, index=rows.index)
    if objects is not None:
        places = objects.set_index(["dataset", "object"])["slice_mm"]
        key = pd.MultiIndex.from_frame(rows[["dataset", "object"]])
        step = pd.Series(places.reindex(key).to_numpy(dtype=np.float64), index=rows.index)
    plain = pd.Series(reach.plain, index=rows.index)
    extent = slices(level, step, reach)
    differs = (extent != slices(plain, step, reach)).astype(float)
    affected = differs.where(step.notna()).mask(level == reach.plain, 1.0)
    cells = rows.assign(
        level=level,
        baseline=reach.plain,
        value=rows[levels.METRIC],
        affected=affected,
        extent=extent,
    )
    found = []
    for selection, of in levels.SELECTIONS.items():
        part = cells[rows["level"] == of].assign(selection=selection)
        found.append(part.assign(affected=1.0) if selection == "all" else part)
    return found


def slices(mm: "pd.Series[float]", step: "pd.Series[float]", reach: "Reach") -> "pd.Series[float]":
    """Convert a reach in ``mm`` to whole slices that are ``step`` mm apart; NaN if unknown."""
    most = np.inf if reach.most_slices is None else float(reach.most_slices)
    return ((mm / step) // 1).clip(lower=float(reach.least_slices), upper=most)
