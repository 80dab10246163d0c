"""Synthetic training cases, written and prepared in the same way as those of any dataset."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark import prepare, volume
from benchmark.catalogue import Dataset
from benchmark.conformance.scenes import STRUCTURE, scenes
from benchmark.errors import UserError
from benchmark.learning.fitting import Case, PreparedDataset
from benchmark.learning.splits import Split
from benchmark.sources import Status

_ENTRY = {
    "id": "made",
    "name": "Synthetic volumes",
    "split": "local",
    "modality": "CT",
    "layout": {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"},
    "labels": {1: STRUCTURE},
}


def synthetic_cases(folder: Path) -> list[Case]:
    """Write the scenes that are not odd below ``folder``, prepare them and return their cases.

    Each case is complete, with the rows of its image, its objects and its reference masks.
    """
    for scene in scenes():
        if scene.odd:
            continue
        labels = np.zeros(scene.volume.shape, dtype=np.uint8)
        for mask in scene.masks:
            labels[mask.dense()] = 1
        name = f"{scene.name.replace(' ', '-')}.nii.gz"
        volume.write(scene.volume.array, scene.volume.spacing, folder / "images" / name)
        volume.write(labels, scene.volume.spacing, folder / "labels" / name)
    entry = Dataset.read(
        {**_ENTRY, "source": {"kind": "local", "path": str(folder)}}, "synthetic cases"
    )
    status = Status(state="ready", root=str(folder), fingerprint="")
    found = prepare.prepare(entry, status, 0)
    if found.failures:
        raise UserError(f"The synthetic cases cannot be prepared: {found.failures[0]['reason']}")
    images, objects, reference = map(pd.DataFrame, (found.images, found.objects, found.reference))
    split = Split(seed=0, share=1.0, train=tuple(images["scan"]), test=())
    return PreparedDataset(images, objects, reference, split).cases()
