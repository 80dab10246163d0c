"""All labels of a scan scored in one pass."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmark.labelmap import LabelMap, Labels
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
    """Every metric of `METRICS` for each label of two label maps of a whole scan.

    One pass over each map finds the voxels of all labels; then only these are looked at,
    whatever the size of the scan. The values are those of `score` label by label.

    Args:
        reference: whole numbers (z, y, x), the label of each voxel of the scan.
        prediction: the same for the prediction.
        spacing: (z, y, x) in mm.
        tolerances: label -> tolerance of NSD in mm; these labels are scored, others are background.
        engine: as in `score`.
        threads: maps and labels that are worked on at a time. Memory is that of as many objects.

    Returns:
        label -> metric -> raw value, in the order of ``tolerances``; as of `score`, also for labels
        that are on one of the maps only, or on none.

    Raises:
        ValueError: maps that are not of whole numbers, not 3D or of different shapes, the label 0,
            a spacing or tolerance out of range.
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

    with ThreadPoolExecutor(threads) as pool:  # the compiled code and most of numpy free the lock
        each: Callable[..., Iterable[Any]] = map if threads == 1 else pool.map
        truth, found = each(LabelMap, (reference, prediction))
        return dict(zip(tolerances, each(score_one, tolerances), strict=True))
