"""Preprocessing of MedSAM, as in its authors' scripts (github.com/bowang-lab/MedSAM).

``pre_CT_MR.py`` maps the whole volume to 0..255; ``MedSAM_Inference.py`` resizes a slice to the
network's square (without keeping the aspect ratio, without padding) and scales it to 0..1.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.adapter import Adapter

if TYPE_CHECKING:
    from benchmark.volume import Volume

WINDOWS = {"soft-tissue": (40.0, 400.0), "chest": (-600.0, 1500.0), "brain": (40.0, 80.0)}
"""Level and width in HU of the CT windows that the authors name (utils/README.md)."""

Level = Annotated[float, Field(allow_inf_nan=False)]
Width = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Window = Literal["soft-tissue", "chest", "brain"] | tuple[Level, Width]
"""A CT window: one of `WINDOWS`, or level and width in HU."""

Grey8 = NDArray[np.uint8]


class WindowOptions(Adapter.Options):
    """``window`` of CT; ``windows``: id of a dataset -> its own window, where it differs."""

    window: Window = "soft-tissue"
    windows: Mapping[str, Window] = {}

    def grey(self, volume: "Volume", axis: int) -> Grey8:
        """Return the first channel of ``volume`` in 0..255, uint8, with ``axis`` first."""
        chosen = self.windows.get(volume.dataset, self.window)
        window = WINDOWS[chosen] if isinstance(chosen, str) else chosen
        return to_uint8(np.moveaxis(volume.grey, axis, 0), volume.grey_modality, window)


def to_uint8(grey: NDArray[np.generic], modality: str, window: tuple[float, float]) -> Grey8:
    """Map a volume [z, y, x] to 0..255.

    CT is clipped to ``window`` (level, width). Other modalities are clipped to the percentiles 0.5
    and 99.5 of the voxels above 0 and stretched; voxels that were exactly 0 stay 0. A constant
    volume, or one without voxels above 0, becomes black.
    """
    values = np.asarray(grey)
    if modality == "CT":
        level, width = window
        clipped = np.clip(values.astype(np.float64), level - width / 2, level + width / 2)
    else:
        positive = values[values > 0]
        if not positive.size:
            return np.zeros(values.shape, np.uint8)
        clipped = np.clip(values, np.percentile(positive, 0.5), np.percentile(positive, 99.5))
    low, high = clipped.min(), clipped.max()
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    stretched = (clipped - low) / (high - low) * 255.0
    if modality != "CT":
        stretched[values == 0] = 0
    whole: Grey8 = stretched.astype(np.uint8)
    return whole


def to_square(plane: Grey8, size: int) -> NDArray[np.float32]:
    """Resize a slice [y, x] to ``size`` pixels a side by cubic splines, then stretch it to 0..1."""
    from skimage.transform import resize

    scaled = resize(plane, (size, size), order=3, preserve_range=True, anti_aliasing=True)
    whole: Grey8 = scaled.astype(np.uint8)
    low, high = int(whole.min()), int(whole.max())
    stretched: NDArray[np.float32] = ((whole - np.float64(low)) / max(high - low, 1e-8)).astype(
        np.float32
    )
    return stretched
