"""Scoring of all labels of a scan in one pass."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmark.masks.labelmap import LabelMap, Labels
from benchmark.metrics.engines import Engine
from benchmark.metrics.pair import score_masks
from benchmark.metrics.surface import Spacing


def score_labels(
    reference: Labels,
    prediction: Labels,
    spacing: Spacing,
    *,
    tolerances: Mapping[int, float],
    engine: Engine = "auto",
    threads: int = 1,
) -> dict[int, dict[str, float]]:
    """Compute all `METRICS` for each label of two label maps of a whole scan.

    One pass over each map locates the voxels of all labels; after that, the time does not depend on
    the size of the scan. The values equal those of `score` for each label.

    Args:
        reference: integers (z, y, x), the label of each voxel of the scan.
        prediction: integers (z, y, x), the predicted labels on the same grid.
        spacing: (z, y, x) in mm.
        tolerances: tolerance of NSD in mm of each label to score; other labels are background.
        engine: as in `score`.
        threads: number of threads; memory grows with the number of objects in work.

    Returns:
        Values of `score` by label and metric, in the order of ``tolerances``, also for labels that
        occur in only one of the maps, or in neither.

    Raises:
        ValueError: the maps are not integer, not 3D or of different shapes; 0 is among the labels;
            the spacing or tolerance is out of range; or the engine is unknown.
    """
    if reference.shape != prediction.shape:
        raise ValueError(
            f"Reference {reference.shape} and prediction {prediction.shape} must be on one grid: "
            "resample the prediction to the grid of the scan first."
        )
    if 0 in tolerances:
        raise ValueError("0 is background: give the labels that are to be scored.")

    def score_one(label: int) -> dict[str, float]:
        return score_masks(
            truth[label],
            found[label],
            spacing,
            grid_voxels=reference.size,
            tolerance_mm=tolerances[label],
            engine=engine,
        )

    with ThreadPoolExecutor(threads) as pool:  # the compiled code and most of numpy release the GIL
        each: Callable[..., Iterable[Any]] = map if threads == 1 else pool.map
        truth, found = each(LabelMap, (reference, prediction))
        return dict(zip(tolerances, each(score_one, tolerances), strict=True))
