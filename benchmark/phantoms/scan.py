"""The output of a recipe, and its storage as NIfTI files with a geometry of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark.storage.files import atomic

IDENTITY = np.eye(3)


@dataclass(frozen=True)
class Scan:
    """Images (z, y, x), keyed by the folder they are written to, and a label map (z, y, x), uint8.

    The arrays are in LPS; the files are stored in ``orientation`` (for example RAS). ``origin`` (x,
    y, z) is the centre of the first voxel in mm; ``spacing`` is (z, y, x) in mm. The columns of
    ``direction`` are the x, y and z axes of the scan in patient coordinates; they differ from the
    identity for tilted slices.
    """

    images: Mapping[str, NDArray[np.generic]]
    labels: NDArray[np.uint8]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    orientation: str = "LPS"
    direction: NDArray[np.float64] = field(default_factory=lambda: IDENTITY)

    def save(self, root: Path, name: str) -> int:
        """Write images and labels to ``<root>/<folder>/<name>.nii.gz``; return the file count."""
        files = {**self.images, "labels": self.labels}
        for folder, array in files.items():
            image: Any = sitk.GetImageFromArray(array)
            image.SetSpacing(self.spacing[::-1])
            image.SetOrigin(self.origin)
            image.SetDirection(self.direction.ravel().tolist())
            image = sitk.DICOMOrient(image, self.orientation)
            with atomic(root / folder / f"{name}.nii.gz") as path:
                sitk.WriteImage(image, str(path), useCompression=True)
        return len(files)


@dataclass(frozen=True)
class Patient:
    """All scans of a patient, keyed by file name suffix, and the patient's row in the cohort."""

    scans: Mapping[str, Scan]
    record: Mapping[str, float | int] = field(default_factory=dict)
