"""Metrics of a predicted mask against a reference mask, and of the shape of an object."""

from benchmark.metrics.definitions import METRICS, SHAPES, Family, Metric, table
from benchmark.metrics.empty import EmptyPolicy, fill_empty
from benchmark.metrics.engines import Engine
from benchmark.metrics.pair import score, score_masks, surface_metrics
from benchmark.metrics.scan import score_labels

__all__ = [
    "METRICS",
    "SHAPES",
    "EmptyPolicy",
    "Engine",
    "Family",
    "Metric",
    "fill_empty",
    "score",
    "score_labels",
    "score_masks",
    "surface_metrics",
    "table",
]
