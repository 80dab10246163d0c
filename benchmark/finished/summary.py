"""The table of `pambench score`: a line a structure, with what stands behind each mean."""

from collections.abc import Sequence

import pandas as pd

from benchmark.metrics.definitions import METRICS

SHOWN = ("dsc", "nsd", "hd95", "asd")


def summary(scores: pd.DataFrame, shown: Sequence[str] = SHOWN) -> str:
    """Table of means and standard deviations of ``scores`` (rows of `finished.pairs.SCHEMA`).

    "Scored / expected" counts the scans: those that failed are expected and not scored. Where a
    metric is left out of more cells, the number that it has stands behind it in brackets.
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
    """Each reason why cells failed, with their number and the scans."""
    failed = scores[scores["status"] == "failed"]
    return "".join(
        f"failed, {len(rows)} cell(s) of {', '.join(dict.fromkeys(rows['scan']))}: {reason}\n"
        for reason, rows in failed.groupby("reason", sort=False)
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
