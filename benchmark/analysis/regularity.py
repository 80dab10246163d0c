"""Regularity (paper, Fig. 5b-d): does a method gain more on less regular objects?

The change of DSC (method minus reference method) is correlated with box ratio, convex ratio and
IRI. The points are structures, clustered by collection because datasets of one collection share
data, or objects, clustered by patient.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.analysis import checks, frames
from benchmark.analysis.bootstrap import generator, multiplicities
from benchmark.analysis.correlation import CORRELATION_KINDS, correlate
from benchmark.analysis.grid import codes
from benchmark.analysis.paired import tidy

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

SHAPE_NAMES = ("box_ratio", "convex_ratio", "iri")
DIMENSIONS = ("2d", "3d")

VALUES = (
    *("method", "reference", "prompt", "prompt_reference", "same_prompt", "dimension", "split"),
    *("dataset", "modality", "structure", "objects", *SHAPE_NAMES, "volume_mm3"),
    *("dsc", "dsc_reference", "change"),
)
CORRELATIONS = (
    *("method", "reference", "dimension", "unit", "modality", "shape", "correlation"),
    *("n", "clusters", "expected", "failed", "failed_reference"),
    *("r", "low", "high", "p", "p_independent", "reason"),
)

_FACTS = ["split", "dataset", "modality", "structure"]
_OF_OBJECT = ["collection", "object", "patient"]


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Correlate the change of DSC with the shapes in ``tables["objects"]``."""
    scores = frames.base_rows(tables["scores"], "object")
    checks.require_columns(scores, ["dsc"], "The table of scores")
    scores = scores[~scores["method"].isin(settings.controls)]
    methods = scores["method"].unique().tolist()
    if settings.reference is not None and len(scores):
        checks.require_method(scores, settings.reference, "analysis.reference")
    reference = settings.reference or next(iter(methods), "")
    values: list[pd.DataFrame] = []
    found: list[dict[str, Any]] = []
    kinds = scores.drop_duplicates("method").set_index("method")["prompt"].to_dict()
    for dimension in DIMENSIONS:
        objects = _described(scores, tables["objects"], dimension)
        for method in (m for m in methods if m != reference):
            about = {"method": method, "reference": reference, "dimension": dimension}
            points = _points(objects, method, reference)
            groups = points.groupby(_FACTS, sort=True)
            mean = groups.mean(numeric_only=True).reset_index()
            mean["objects"] = groups.size().to_numpy()
            mean["collection"] = groups["collection"].first().to_numpy()
            prompts = {"prompt": kinds[method], "prompt_reference": kinds[reference]}
            same = kinds[method] == kinds[reference]
            values.append(mean.assign(**about, **prompts, same_prompt=same))
            lost = _lost(objects, method, reference)
            found += [{**about, **row} for row in _correlations(points, mean, lost, settings)]
    kept = [table for table in values if len(table)]
    whole = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()
    return {
        "regularity_values": whole.reindex(columns=list(VALUES)),
        "regularity": pd.DataFrame(found, columns=list(CORRELATIONS)),
    }


def _described(scores: pd.DataFrame, objects: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Return one row per object: its description and shape; DSC and failure of each method."""
    columns = {f"{shape}_{dimension}": shape for shape in SHAPE_NAMES}
    checks.require_columns(objects, (*columns, "volume_mm3"), "The table of objects")
    flagged = scores.assign(failed=scores["status"].eq("failed").astype(float))
    wide = flagged.pivot(index=["dataset", "object"], columns="method", values=["dsc", "failed"])
    wide.columns = wide.columns.map(" of ".join)
    facts = scores.drop_duplicates(["dataset", "object"])[[*_FACTS, *_OF_OBJECT]]
    shapes = objects[["dataset", "object", *columns, "volume_mm3"]].rename(columns=columns)
    joined = facts.merge(wide.reset_index(), on=["dataset", "object"])
    return joined.merge(shapes, on=["dataset", "object"], how="left")


def _points(objects: pd.DataFrame, method: str, reference: str) -> pd.DataFrame:
    """Return the objects of known shape for which both methods have a value."""
    points = objects[[*_FACTS, *_OF_OBJECT, *SHAPE_NAMES, "volume_mm3"]].assign(
        dsc=objects[f"dsc of {method}"], dsc_reference=objects[f"dsc of {reference}"]
    )
    points = points.assign(change=points["dsc"] - points["dsc_reference"])
    known = points[[*SHAPE_NAMES, "volume_mm3", "change"]].notna().all(axis=1)
    return points[known & (points["volume_mm3"] > 0)].reset_index(drop=True)


def _lost(objects: pd.DataFrame, method: str, reference: str) -> pd.DataFrame:
    """Return the modality of each object, and whether each method of the pair failed on it."""
    failed = {"failed": method, "failed_reference": reference}
    return objects[["modality"]].assign(
        **{column: objects[f"failed of {name}"] for column, name in failed.items()}
    )


def _correlations(
    points: pd.DataFrame, mean: pd.DataFrame, lost: pd.DataFrame, settings: "AnalysisSettings"
) -> Iterator[dict[str, Any]]:
    modalities = sorted(points["modality"].unique().tolist())
    for modality in ["all", *(modalities if len(modalities) > 1 else [])]:
        objects = lost if modality == "all" else lost[lost["modality"] == modality]
        counts = {"expected": len(objects)}
        counts |= {name: int(objects[name].sum()) for name in ("failed", "failed_reference")}
        for unit, table, drawn in (
            ("structure", mean, ["collection"]),
            ("object", points, ["dataset", "patient"]),
        ):
            part = table if modality == "all" else table[table["modality"] == modality]
            cluster = codes(part, drawn)
            clusters = len(np.unique(cluster))
            rng = generator(settings.seed, "regularity", modality)
            weights = multiplicities(rng, clusters, settings.resamples)
            draws: dict[str, Any] = {"weights": weights, "cluster": cluster}
            x = {shape: part[shape].to_numpy(np.float64) for shape in SHAPE_NAMES}
            y = tidy(part["change"].to_numpy(np.float64))
            size = np.log(part["volume_mm3"].to_numpy(np.float64))
            for shape in SHAPE_NAMES:
                for kind in CORRELATION_KINDS:
                    outcome = correlate(kind, x[shape], y, size, tail=settings.tail, **draws)
                    about = {"unit": unit, "modality": modality, "shape": shape}
                    about |= {"correlation": kind, **counts}
                    yield {**about, "n": len(part), "clusters": clusters, **vars(outcome)}
