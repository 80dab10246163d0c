"""The table that ``pambench score`` prints: one line per structure, with denominators."""

from collections.abc import Sequence

import pandas as pd

from benchmark.metrics.definitions import METRICS

SHOWN = ("dsc", "nsd", "hd95", "asd")


def summary(scores: pd.DataFrame, shown: Sequence[str] = SHOWN) -> str:
    """Format means and standard deviations of ``scores``, rows of `benchmark.finished.pairs`.

    "Scored / expected" counts scans, of which failed ones are expected but not scored; in the last
    line, "all", it counts all rows. If a metric is undefined in some scored cells, the number of
    its values follows in parentheses.
    """
    lines = [["structure", "scored / expected", *(_label(name) for name in shown)]]
    known = scores.dropna(subset=["structure"])
    for structure in dict.fromkeys(known["structure"]):
        lines.append(_line(structure, known[known["structure"] == structure], shown))
    lines.append(_line("all", scores, shown))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([table[0], "-" * sum(widths, 2 * len(widths) - 2), *table[1:]]) + "\n"


def failures(scores: pd.DataFrame) -> str:
    """List the reasons why cells failed, with their number and scans; one line per reason."""
    failed = scores[scores["status"] == "failed"]
    return "".join(
        f"failed, {len(rows)} cell(s) of {', '.join(dict.fromkeys(rows['scan']))}: {reason}\n"
        for reason, rows in failed.groupby("reason", sort=False)
    )


def replaced(scores: pd.DataFrame) -> str:
    """Count the cells whose distances are the scan's diagonal, as one mask is empty; one line."""
    scored = scores[scores["status"] == "ok"]
    no_reference, no_prediction = scored["reference_mm3"] == 0, scored["prediction_mm3"] == 0
    filled = (no_reference != no_prediction) & scored["hd95"].notna()
    if not filled.any():
        return ""
    return (
        f"distances are the diagonal of the scan in {filled.sum()} of {len(scored)} scored cells: "
        f"{(filled & no_prediction).sum()} without a prediction, "
        f"{(filled & no_reference).sum()} without a reference\n"
    )


def _label(name: str) -> str:
    return METRICS[name].label if name in METRICS else name


def _line(structure: str, rows: pd.DataFrame, shown: Sequence[str]) -> list[str]:
    scored = rows[rows["status"] == "ok"]
    cells = []
    for name in shown:
        values = scored[name].dropna()
        digits = 3 if name.startswith(("dsc", "nsd")) else 2
        text = f"{values.mean():.{digits}f}" if len(values) else "-"
        if len(values) > 1:
            text += f" ± {values.std():.{digits}f}"
        cells.append(text + (f" ({len(values)})" if 0 < len(values) < len(scored) else ""))
    return [structure, f"{len(scored)} / {len(rows)}", *cells]
