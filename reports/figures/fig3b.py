"""Fig. 3b: fingerprints of the datasets, five properties as z-scores over the datasets."""

from typing import TYPE_CHECKING

import numpy as np

from benchmark.analysis.fingerprint import PROPERTIES
from reports import scoring
from reports.formatting import count_noun
from reports.style import MM, MODALITIES, OTHER, WIDTH, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

NAMES = {
    "scans": "Scans",
    "voxels": "Voxels (all scans)",
    "size_anisotropy": "Size anisotropy",
    "spacing_anisotropy": "Spacing anisotropy",
    "structures": "Object types",
}
_LIMIT = 2.5


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    table = results.statistics("fingerprint")
    return draw(table), " ".join([caption(table), *scoring.spacing_notes(results)])


def draw(fingerprint: "pd.DataFrame") -> "Figure":
    """Draw one column per dataset, one row per property of the table ``fingerprint``."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    with styled():
        if fingerprint.empty:
            return nothing("No dataset was prepared.")
        if not _compared(fingerprint):
            return nothing("No z-score: there are no two datasets that differ.")
        table = fingerprint.sort_values("modality", kind="stable")
        scores = table[[f"z_{name}" for name in PROPERTIES]].to_numpy(float).T
        figure = Figure(figsize=(WIDTH, 72 * MM), layout="constrained")
        axes, below = figure.subplots(2, 1, height_ratios=[5, 0.35], sharex=True)
        shown = axes.imshow(scores, cmap="RdBu_r", vmin=-_LIMIT, vmax=_LIMIT, aspect="auto")
        for row, column in np.argwhere(np.isnan(scores)):
            axes.text(column, row, "\N{EN DASH}", ha="center", va="center", color="#555555")
        axes.set_yticks(range(len(PROPERTIES)), [NAMES[name] for name in PROPERTIES])
        axes.tick_params(length=0)
        colours = [MODALITIES.get(str(m), OTHER) for m in table["modality"]]
        below.bar(range(len(table)), 1, width=1, color=colours)
        below.set_yticks([0.5], ["Modality"])
        below.set_ylim(0, 1)
        below.tick_params(length=0)
        below.set_xlim(-0.5, len(table) - 0.5)
        below.set_xticks(range(len(table)), list(table["dataset"]), rotation=90 * (len(table) > 16))
        for ax in (axes, below):
            ax.spines[:].set_visible(False)
        bar = figure.colorbar(shown, ax=axes, extend="both", pad=0.01, fraction=0.03)
        bar.set_label("z-score over the datasets")
        handles = [
            Patch(color=MODALITIES.get(m, OTHER), label=m)
            for m in dict.fromkeys(map(str, table["modality"]))
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8))
        return figure


def caption(fingerprint: "pd.DataFrame") -> str:
    """Return the caption."""
    if fingerprint.empty:
        return "Fingerprints of the datasets: none, since no dataset was prepared."
    if not _compared(fingerprint):
        return (
            "Fingerprints of the datasets: none, since a z-score is over datasets that differ. The "
            "properties are in statistics/fingerprint.csv."
        )
    least, most = int(fingerprint["scans"].min()), int(fingerprint["scans"].max())
    span = count_noun(least, "scan") if least == most else f"{least:,} to {most:,} scans"
    text = (
        f"Fingerprints of {count_noun(len(fingerprint), 'dataset')} with {span}: each "
        "property as a z-score over the datasets shown. Voxels: of all scans of a dataset "
        "together. Anisotropy: smallest divided by largest physical size, smallest divided by "
        "largest spacing; median over the scans."
    )
    constant = [NAMES[name].lower() for name in PROPERTIES if fingerprint[f"z_{name}"].isna().all()]
    if constant:
        text += f" No z-score, since all are equal: {', '.join(constant)}."
    return text


def _compared(fingerprint: "pd.DataFrame") -> bool:
    """Return whether any property has a z-score."""
    return bool(fingerprint[[f"z_{name}" for name in PROPERTIES]].notna().any(axis=None))
