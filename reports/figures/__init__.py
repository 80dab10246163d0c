"""The figures of the paper, one module each, named as in the paper.

Each module defines ``make(results)``, which returns the figure and its caption. `FIGURES` describes
the figures without importing their modules, for the workflow, the command line and the report.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.results import Results

    Made = tuple[Figure, str]


@dataclass(frozen=True)
class Entry:
    """Description of a figure.

    Attributes:
        title: heading in the report.
        seen: alternative text, which says what is drawn; the caption says what it means.
        reads: input files below the study's folder; a name without suffix is a statistics table.
        section: section of the report that shows it.
        shown: format in the report, ``png`` where an svg would contain images.
        panels: panels of the paper that it contains, if its name does not say so.
        methods: whether it shows results of methods.
    """

    title: str
    seen: str
    reads: tuple[str, ...]
    section: str = "results"
    shown: Literal["svg", "png"] = "svg"
    panels: str = ""
    methods: bool = True

    @property
    def files(self) -> tuple[str, ...]:
        """The input files of the figure, relative to the study's folder."""
        return tuple(name if "." in name else f"statistics/{name}.csv" for name in self.reads)


FIGURES: dict[str, Entry] = {
    "fig3a": Entry(
        "Objects by type and dataset",
        "Bars around a circle, one per type of object, in the colour of its modality.",
        ("object_types",),
        "data",
        methods=False,
    ),
    "fig3b": Entry(
        "Fingerprints of the datasets",
        "Coloured cells: one row per property, one column per dataset; blue is low, red high.",
        ("fingerprint",),
        "data",
        methods=False,
    ),
    "fig4a": Entry(
        "Overlap on each dataset",
        "DSC of each method as a line around a circle, one spoke per dataset; dots if there are "
        "few datasets.",
        ("by_dataset", "ranks_by_dataset", "overall"),
    ),
    "fig4b": Entry(
        "Sensitivity, NSD, HD95 and ASD",
        "One panel per metric: at each dataset, one point per method.",
        ("by_dataset", "ranks_by_dataset", "overall"),
    ),
    "fig4c": Entry(
        "The same 3D box",
        "DSC of the methods on each dataset, and bars of a difference between two of them.",
        ("scores.parquet", "by_dataset", "ranks_by_dataset", "overall"),
    ),
    "fig4d": Entry(
        "Time to segment an object",
        "Box plots of seconds, one per method, on a logarithmic axis.",
        ("times.parquet", "overall"),
        "time",
    ),
    "fig4e": Entry(
        "Time for a prompt",
        "Bars of seconds, one per kind of prompt, with median and mean.",
        ("interaction", "interaction_tests"),
        "time",
        methods=False,
    ),
    "fig4f": Entry(
        "Stability: deviation of the guiding slice",
        "One panel per method: points of the datasets by deviation, with boxes if there are many.",
        ("stability_values", "stability_tests", "overall"),
        "analyses",
    ),
    "fig4g": Entry(
        "Stability: thickness",
        "One panel per method: points of the datasets by thickness, with boxes if there are many.",
        ("thickness_values", "thickness_tests", "overall"),
        "analyses",
    ),
    "fig5a": Entry(
        "Segmentations side by side",
        "Slices and surfaces of objects, one column per method, contours on grey images.",
        ("scores.parquet", "by_dataset", "overall"),
        "panels",
        shown="png",
    ),
    "fig5b": Entry(
        "Change over shape",
        "Scatter plots of the change of DSC over three measures of shape.",
        ("regularity_values", "regularity", "overall"),
        "analyses",
        panels="5b-d",
    ),
    "fig5e": Entry(
        "Survival by change of the tumour",
        "Survival curves of two groups of patients, one panel per measure, numbers at risk below.",
        ("survival_curves", "survival_tests", "overall"),
        "analyses",
    ),
    "fig6a": Entry(
        "Fine-tuning",
        "Groups of bars, one per dataset: DSC of reference methods, general and fine-tuned model.",
        ("finetuning", "finetuning_tests", "overall"),
        "analyses",
    ),
    "fig6b": Entry(
        "Recovery by training from scratch",
        "A map of percentages: one row per training dataset, one column per test dataset.",
        ("recovery",),
        "analyses",
    ),
    "fig6c": Entry(
        "Trained from scratch and fine-tuned",
        "Charts of DSC, one per training dataset: one line per model, one spoke per test dataset.",
        ("transfer", "overall"),
        "analyses",
    ),
    "fig6d": Entry(
        "Ablations",
        "One panel per ablation: points of the datasets by setting, with boxes if there are many; "
        "below each setting its cost.",
        ("ablation", "ablation_overall", "ablation_tests"),
        "analyses",
        panels="6d-g",
    ),
}
"""Figures by their name in the paper, in the order of the report."""


def draw(name: str, results: "Results") -> "Made":
    """Draw one figure of a study; returns the figure and its caption.

    The caption ends with the weights and protocol of the methods, if any are drawn, and with the
    paper's numbers.
    Raises `UserError` if ``name`` is not in `FIGURES` or the study lacks the statistics.
    """
    from benchmark.errors import UserError, unknown_name
    from reports.notes import weights
    from reports.paper.caption import applies, stated
    from reports.style import NONE_DRAWN

    if name not in FIGURES:
        raise UserError(unknown_name("figure", name, FIGURES))
    figure, caption = import_module(f"reports.figures.{name}").make(results)
    empty = any(text.get_gid() == NONE_DRAWN for text in figure.texts)
    with_what = weights(results) if FIGURES[name].methods and not empty else ""
    papers = stated(name) if applies(name, results) else ""
    return figure, " ".join(filter(None, (caption, with_what, papers)))


def make(results: "Results", only: str | None = None) -> list[Path]:
    """Draw the figures into the study's folder ``figures``; returns their paths without suffix.

    ``only`` names a single figure to draw.
    """
    from reports.style import save

    made = []
    for name in FIGURES if only is None else [only]:
        figure, caption = draw(name, results)
        stem = results.folder / "figures" / name
        save(figure, stem, caption)
        made.append(stem)
    return made
