"""How values, names and counts are printed in tables, captions and the report."""

from typing import Any

from benchmark.analysis.frames import ALL
from benchmark.analysis.ranking import SIGNIFICANT
from benchmark.metrics.definitions import METRICS

NONE = "\N{EN DASH}"
"""Printed in place of a missing value."""

DAGGER = "†"
"""Marks methods and means whose weights were trained on the data."""

_SPLIT_TITLES = {
    "internal": "Internal datasets",
    "external": "External datasets",
    "phantom": "Generated phantoms",
    "local": "Own data",
    ALL: "All datasets",
}
_SPLIT_LABELS = {
    "internal": "internal",
    "external": "external",
    "phantom": "generated phantoms",
    "local": "own data",
}


def split_title(split: str) -> str:
    """Return the title of a split's rows or column in a table."""
    return _SPLIT_TITLES.get(split, split)


def split_label(split: str) -> str:
    """Return the label of a split in a figure or within a sentence."""
    return _SPLIT_LABELS.get(split, split)


def is_missing(value: object) -> bool:
    """Return whether a value is None or NaN."""
    return value is None or value != value


def plain_text(value: Any) -> Any:
    """Format a value of the record: a mapping as (name, text) pairs, a list joined by commas."""
    if isinstance(value, dict) and value:
        return [(str(key), plain_text(inner)) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(str(inner) for inner in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "", {}) else str(value)


def count_noun(number: int, noun: str) -> str:
    """Format a count with its noun: 1 method, 2 methods."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_p(p: float) -> str:
    """Format a P value: four decimals below 0.1, else three; never 0, never rounded up to 0.05."""
    if p < 0.0001:
        return "< 0.0001"
    text = f"{p:.4f}" if p < 0.1 else f"{p:.3f}"
    return f"< {SIGNIFICANT}" if p < SIGNIFICANT <= float(text) else text


def p_statement(p: float) -> str:
    """Format a P value for a sentence, such as P = 0.0123 or P < 0.0001."""
    text = format_p(p)
    return f"P {text}" if text.startswith("<") else f"P = {text}"


def decimals(metric: str) -> int:
    """Return the number of decimals of a metric: two if it is in mm, else three."""
    return 2 if METRICS[metric].unit == "mm" else 3


def mean_sd(mean: float, sd: float, places: int = 3) -> str:
    """Format mean ± sd; a dash if the mean is missing, the mean alone if the sd is missing."""
    if is_missing(mean):
        return NONE
    text = f"{mean:.{places}f}"
    return text if is_missing(sd) else f"{text} ± {sd:.{places}f}"


def denominators(known: float, expected: float) -> str:
    """Return the denominators of a mean if cells are missing; empty if unknown (NaN)."""
    return f" ({known:.0f}/{expected:.0f})" if known < expected else ""


def interval(low: float, high: float) -> str:
    """Format an interval of a mean; empty without one."""
    return "" if is_missing(low) or is_missing(high) else f"{low:.3f} to {high:.3f}"


def mean_cell(
    mean: float, known: float, expected: float, contaminated: float, places: int = 3
) -> str:
    """Format a dataset mean, with denominators if cells are missing, and † if contaminated."""
    text = NONE if is_missing(mean) else f"{mean:.{places}f}"
    return marked(text + denominators(known, expected), contaminated)


def marked(text: str, contaminated: object) -> str:
    """Return the text, with † behind it if the weights were trained on the data."""
    return text + DAGGER if contaminated else text
