"""The figures of the paper: a file each, named as there, from tidy tables to figure and caption.

Each offers ``make(results, folders)``, which gives the figure and its caption. What is known of it
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

    ``reads``: paths below the study's folder; a name without suffix is a table of the statistics.
    ``section``: where the report shows it. ``shown``: ``png`` where an svg would hold images.
    ``panels``: those of the paper that it holds, where its name does not tell.
    """

    title: str
    reads: tuple[str, ...]
    section: str = "results"
    shown: Literal["svg", "png"] = "svg"
    panels: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The paths that the figure reads, below the study's folder."""
        return tuple(name if "." in name else f"statistics/{name}.csv" for name in self.reads)


@dataclass(frozen=True)
class Folders:
    """Where a figure that shows images finds them: the datasets, and all results."""

    data: Path = Path("data")
    results: Path = Path("results")


FIGURES: dict[str, Entry] = {
    "fig3a": Entry("Objects by type and dataset", ("object_types",), "data"),
    "fig3b": Entry("Fingerprints of the datasets", ("fingerprint",), "data"),
    "fig4a": Entry("Overlap on each dataset", ("by_dataset", "overall")),
    "fig4b": Entry("Sensitivity, NSD, HD95 and ASD", ("by_dataset", "overall")),
    "fig4c": Entry("The same 3D box", ("scores.parquet", "by_dataset", "overall")),
    "fig4d": Entry("Time to segment an object", ("times.parquet", "overall"), "time"),
    "fig4e": Entry("Time for a prompt", ("interaction", "interaction_tests"), "time"),
    "fig4f": Entry(
        "Stability: deviation of the guiding slice",
        ("stability_values", "stability_tests", "overall"),
        "analyses",
    ),
    "fig4g": Entry(
        "Stability: thickness", ("thickness_values", "thickness_tests", "overall"), "analyses"
    ),
    "fig5a": Entry(
        "Segmentations side by side",
        ("scores.parquet", "by_dataset", "overall"),
        "panels",
        shown="png",
    ),
    "fig5b": Entry(
        "Change over shape", ("regularity_values", "regularity"), "analyses", panels="5b-d"
    ),
    "fig5e": Entry(
        "Survival by change of the tumour",
        ("survival_curves", "survival_tests", "overall"),
        "analyses",
    ),
    "fig6a": Entry("Fine-tuning", ("finetuning", "finetuning_tests", "overall"), "analyses"),
    "fig6b": Entry("Recovery by training from scratch", ("recovery",), "analyses"),
    "fig6c": Entry("Trained from scratch and fine-tuned", ("transfer", "overall"), "analyses"),
    "fig6d": Entry(
        "Ablations",
        ("ablation", "ablation_overall", "ablation_tests"),
        "analyses",
        panels="6d-g",
    ),
}
"""By the name of the figure in the paper, in the order of the report."""


def draw(name: str, results: "Results", folders: Folders | None = None) -> "Made":
    """Draw one figure of a study; returns it and its caption, which ends with the paper's numbers.

    Errors: a `UserError` for a name that is not in `FIGURES`, or a study without its statistics.
    """
    from benchmark.errors import UserError, unknown_name
    from reports.paper.stated import stated

    if name not in FIGURES:
        raise UserError(unknown_name("figure", name, FIGURES))
    figure, caption = import_module(f"reports.figures.{name}").make(results, folders or Folders())
    return figure, " ".join(filter(None, (caption, stated(name))))


def make(results: "Results", folders: Folders, only: str | None = None) -> list[Path]:
    """Draw the figures of a study into its folder ``figures``; returns their paths, less suffix."""
    from reports.style import save

    made = []
    for name in FIGURES if only is None else [only]:
        figure, caption = draw(name, results, folders)
        stem = results.folder / "figures" / name
        save(figure, stem, caption)
        made.append(stem)
    return made
