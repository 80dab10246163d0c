"""Properties of the prepared datasets, as in the paper's Fig. 3 and Tables S2 to S4.

The five properties are those of the paper (Data acquisition): scans, voxels, size anisotropy
(smallest divided by largest physical size), spacing anisotropy (smallest divided by largest
spacing; both as in nnU-Net) and object types. Each is also given as a z-score over the datasets,
for the figure.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmark.analysis import checks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmark.analysis.settings import AnalysisSettings

PROPERTIES = ("scans", "voxels", "size_anisotropy", "spacing_anisotropy", "structures")
"""The five properties of Fig. 3b."""

AUGMENTED = 5
"""Augmented samples per slice for Box2Mask in the paper (Data augmentation)."""

_DATASET = ["dataset", "split", "modality"]
_AXES = ("z", "y", "x")
_OBJECT = ("dataset", "scan", "object", "structure", "voxels", "volume_mm3", "slices_over_100")


def analyse(
    tables: "Mapping[str, pd.DataFrame]", settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Describe the datasets in ``tables["images"]`` and ``tables["objects"]``."""
    images, objects = tables["images"], tables["objects"]
    checks.require_columns(objects, _OBJECT, "The table of objects")
    objects = objects[list(_OBJECT)]
    about = images[["dataset", "scan", "split", "modality", "part"]]
    joined = objects.merge(about, on=["dataset", "scan"], how="inner")
    return {
        "fingerprint": fingerprint(images, joined),
        "object_types": object_types(joined),
        "training_samples": training_samples(joined),
    }


def fingerprint(images: pd.DataFrame, joined: pd.DataFrame) -> pd.DataFrame:
    """Return one row per dataset (Table S4); anisotropies are medians over its scans."""
    size = images[[f"size_{axis}" for axis in _AXES]].to_numpy(float)
    spacing = images[[f"spacing_{axis}" for axis in _AXES]].to_numpy(float)
    extent = size * spacing
    scans = images.assign(
        voxels=size.prod(axis=1),
        size_anisotropy=extent.min(axis=1) / extent.max(axis=1),
        spacing_anisotropy=spacing.min(axis=1) / spacing.max(axis=1),
    ).groupby(_DATASET)
    table = pd.DataFrame(
        {
            "scans": scans.size(),
            "patients": scans["patient"].nunique(),
            "voxels": scans["voxels"].sum(),
            "voxels_median": scans["voxels"].median(),
            "size_anisotropy": scans["size_anisotropy"].median(),
            "spacing_anisotropy": scans["spacing_anisotropy"].median(),
        }
    )
    found = joined.groupby(_DATASET)
    table["structures"] = found["structure"].nunique().reindex(table.index, fill_value=0)
    table["objects"] = found.size().reindex(table.index, fill_value=0)
    for name in PROPERTIES:
        values = table[name].astype(float)
        sd = values.std(ddof=0)
        table[f"z_{name}"] = (values - values.mean()) / sd if sd > 0 else np.nan
    return table.reset_index()


def object_types(joined: pd.DataFrame) -> pd.DataFrame:
    """Return one row per dataset and structure (Fig. 3a): number and median size of objects."""
    groups = joined.groupby([*_DATASET, "structure"])
    return pd.DataFrame(
        {
            "objects": groups.size(),
            "scans": groups["scan"].nunique(),
            "voxels_median": groups["voxels"].median(),
            "volume_mm3_median": groups["volume_mm3"].median(),
        }
    ).reset_index()


def training_samples(joined: pd.DataFrame) -> pd.DataFrame:
    """Count the training samples that the paper's preprocessing would give (Tables S2 and S3).

    Return one row per dataset and part. Internal datasets have the parts train and validation; the
    part of other datasets is their split. ``samples`` are those of Box2Mask: slices with more than
    100 pixels of an object, times `AUGMENTED`. ``tasks`` are those of PropMask: one per object with
    such a slice, since the paper does not say how it chose guiding slices.
    """
    internal = joined["split"] == "internal"
    parts = joined.assign(
        part=joined["part"].where(internal, joined["split"]),
        tasks=joined["slices_over_100"] > 0,
    ).groupby([*_DATASET, "part"])
    slices = parts["slices_over_100"].sum()
    return pd.DataFrame(
        {
            "scans": parts["scan"].nunique(),
            "objects": parts.size(),
            "slices": slices,
            "samples": slices * AUGMENTED,
            "tasks": parts["tasks"].sum(),
        }
    ).reset_index()
