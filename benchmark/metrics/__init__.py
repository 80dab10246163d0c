"""Metrics that compare a predicted mask with a reference mask, and shape metrics of an object."""

from benchmark.metrics.definitions import (
    METRICS,
    PROMPT_REGION_METRICS,
    SHAPE_METRICS,
    Family,
    Metric,
    markdown,
    table,
)
from benchmark.metrics.empty import EmptyPolicy, fill_empty
from benchmark.metrics.engines import Engine
from benchmark.metrics.pair import in_region, score, score_masks, surface_metrics
from benchmark.metrics.scan import score_labels

__all__ = [
    "METRICS",
    "PROMPT_REGION_METRICS",
    "SHAPE_METRICS",
    "EmptyPolicy",
    "Engine",
    "Family",
    "Metric",
    "fill_empty",
    "in_region",
    "markdown",
    "score",
    "score_labels",
    "score_masks",
    "surface_metrics",
    "table",
]
