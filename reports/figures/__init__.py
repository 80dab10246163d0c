"""The figures of the paper: a file each, named as there, from tidy tables to figure and caption.

Each offers ``make(results)``, which gives the figure and its caption. What is known of it
without importing it stands in `FIGURES`, which the workflow, the command line and the report read.
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
    """What is known of a figure: its title, the files of the study that it reads, how it is shown.

    ``seen``: what there is to see, for who cannot see it; the caption tells what it says.
    ``reads``: paths below the study's folder; a name without suffix is a table of the statistics.
    ``section``: where the report shows it. ``shown``: ``png`` where an svg would hold images.
    ``panels``: those of the paper that it holds, where its name does not tell. ``methods``: whether
    it shows what methods gave.
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
        """The paths that the figure reads, below the study's folder."""
        return tuple(name if "." in name else f"statistics/{name}.csv" for name in self.reads)


FIGURES: dict[str, Entry] = {
    "fig3a": Entry(
        "Objects by type and dataset",
        "Bars around a circle, one a type of object, in the colour of its modality.",
        ("object_types",),
        "data",
        methods=False,
    ),
    "fig3b": Entry(
        "Fingerprints of the datasets",
        "Coloured cells: five properties in rows, a column a dataset, blue is low and red is high.",
        ("fingerprint",),
        "data",
        methods=False,
    ),
    "fig4a": Entry(
        "Overlap on each dataset",
        "DSC of each method as a line around a circle, a spoke a dataset; dots where datasets are "
        "few.",
        ("by_dataset", "ranks_by_dataset", "overall"),
    ),
    "fig4b": Entry(
        "Sensitivity, NSD, HD95 and ASD",
        "A panel a metric: at each dataset a point a method.",
        ("by_dataset", "ranks_by_dataset", "overall"),
    ),
    "fig4c": Entry(
        "The same 3D box",
        "DSC of the methods on each dataset, and bars of a difference between two of them.",
        ("scores.parquet", "by_dataset", "ranks_by_dataset", "overall"),
    ),
    "fig4d": Entry(
        "Time to segment an object",
        "Box plots of seconds, one a method, on a logarithmic axis.",
        ("times.parquet", "overall"),
        "time",
    ),
    "fig4e": Entry(
        "Time for a prompt",
        "Bars of seconds, one a kind of prompt, with median and mean.",
        ("interaction", "interaction_tests"),
        "time",
        methods=False,
    ),
    "fig4f": Entry(
        "Stability: deviation of the guiding slice",
        "A panel a method: points of the datasets, with boxes if many, by deviation.",
        ("stability_values", "stability_tests", "overall"),
        "analyses",
    ),
    "fig4g": Entry(
        "Stability: thickness",
        "A panel a method: points of the datasets, with boxes if many, by thickness.",
        ("thickness_values", "thickness_tests", "overall"),
        "analyses",
    ),
    "fig5a": Entry(
        "Segmentations side by side",
        "Slices and surfaces of objects, a column a method, contours on grey images.",
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
        "Survival curves of two groups of patients, a panel a measure, numbers at risk below.",
        ("survival_curves", "survival_tests", "overall"),
        "analyses",
    ),
    "fig6a": Entry(
        "Fine-tuning",
        "Groups of bars, one a dataset: DSC of reference methods, general and fine-tuned model.",
        ("finetuning", "finetuning_tests", "overall"),
        "analyses",
    ),
    "fig6b": Entry(
        "Recovery by training from scratch",
        "A map of percentages: a row a dataset trained on, a column a dataset tested on.",
        ("recovery",),
        "analyses",
    ),
    "fig6c": Entry(
        "Trained from scratch and fine-tuned",
        "Charts of DSC, one a dataset trained on: a line a model, a place a dataset tested on.",
        ("transfer", "overall"),
        "analyses",
    ),
    "fig6d": Entry(
        "Ablations",
        "A panel an ablation: points of the datasets, with boxes if many, by setting; below each "
        "setting its cost.",
        ("ablation", "ablation_overall", "ablation_tests"),
        "analyses",
        panels="6d-g",
    ),
}
"""By the name of the figure in the paper, in the order of the report."""


def draw(name: str, results: "Results") -> "Made":
    """Draw one figure of a study; returns it and its caption.

    That ends with the weights and protocol of the methods, and with the paper's numbers.
    Errors: a `UserError` for a name that is not in `FIGURES`, or a study without its statistics.
    """
    from benchmark.errors import UserError, unknown_name
    from reports.notes import weights
    from reports.paper.stated import applies, stated

    if name not in FIGURES:
        raise UserError(unknown_name("figure", name, FIGURES))
    figure, caption = import_module(f"reports.figures.{name}").make(results)
    with_what = weights(results) if FIGURES[name].methods else ""
    papers = stated(name) if applies(name, results) else ""
    return figure, " ".join(filter(None, (caption, with_what, papers)))


def make(results: "Results", only: str | None = None) -> list[Path]:
    """Draw the figures of a study into its folder ``figures``; returns their paths, less suffix."""
    from reports.style import save

    made = []
    for name in FIGURES if only is None else [only]:
        figure, caption = draw(name, results)
        stem = results.folder / "figures" / name
        save(figure, stem, caption)
        made.append(stem)
    return made
