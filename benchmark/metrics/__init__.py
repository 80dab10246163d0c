"""Metrics that compare a predicted mask with a reference mask, and shape metrics of an object."""

from benchmark.metrics.definitions import (
    METRICS,
    PROMPT_REGION_METRICS,
    SHAPE_METRICS,
    Family,
    Metric,
    metric_rows,
    metrics_markdown,
)
from benchmark.metrics.empty import EmptyPolicy, fill_empty
from benchmark.metrics.engines import Engine
from benchmark.metrics.pair import metrics_in_region, score, score_masks, surface_metrics
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
    "metric_rows",
    "metrics_in_region",
    "metrics_markdown",
    "score",
    "score_labels",
    "score_masks",
    "surface_metrics",
]
