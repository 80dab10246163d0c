"""``pambench analyse NAME``: run an analysis on tables of this project or from elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

app = typer.Typer(
    help="Compute statistics from score tables. docs/analyses.md describes the tables.",
    no_args_is_help=True,
)

Scores = Annotated[Path, typer.Option(help="Long table of scores, csv or parquet.")]
Objects = Annotated[
    Path | None, typer.Option(help="Table of the objects: slice distance, size, shape.")
]
Output = Annotated[Path, typer.Option(help="Folder to write the tables to.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option(help="A study's settings.json, or a YAML file with keys of `analysis`."),
]


@app.command()
def fingerprint(
    images: Annotated[Path, typer.Option(help="Table of the scans: images.parquet.")],
    objects: Annotated[Path, typer.Option(help="Table of the objects: objects.parquet.")],
    output: Output,
    settings: SettingsFile = None,
) -> None:
    """Describe datasets and their objects.

    Also counts object types and the paper's training samples.
    """
    _run("fingerprint", {"images": images, "objects": objects}, output, settings)


@app.command()
def averages(scores: Scores, output: Output, settings: SettingsFile = None) -> None:
    """Average the scores.

    By structure, by dataset and over datasets, with intervals and denominators.
    """
    _run("averages", {"scores": scores}, output, settings)


@app.command()
def comparison(scores: Scores, output: Output, settings: SettingsFile = None) -> None:
    """Compare methods pair by pair.

    Over datasets, over scans, and by a mixed model.
    """
    _run("comparison", {"scores": scores}, output, settings)


@app.command()
def stability(scores: Scores, output: Output, settings: SettingsFile = None) -> None:
    """Compare DSC over guiding slices.

    Both ANOVAs and a test of equivalence over the deviations of the guiding slice.
    """
    _run("stability", {"scores": scores}, output, settings)


@app.command()
def thickness(
    scores: Scores, output: Output, objects: Objects = None, settings: SettingsFile = None
) -> None:
    """Compare DSC over propagation reach.

    Both ANOVAs and a test of equivalence over the reach in analysis.thickness.
    """
    _run("thickness", {"scores": scores, "objects": objects}, output, settings)


@app.command()
def regularity(
    scores: Scores,
    objects: Annotated[Path, typer.Option(help="Table of the objects and their shape.")],
    output: Output,
    settings: SettingsFile = None,
) -> None:
    """Relate the gain in DSC to object shape.

    The gain over the reference method, analysis.reference.
    """
    _run("regularity", {"scores": scores, "objects": objects}, output, settings)


@app.command()
def efficiency(
    times: Annotated[Path, typer.Option(help="Table of inference times.")],
    output: Output,
    settings: SettingsFile = None,
) -> None:
    """Compare inference times.

    By phase, with tests and costs.
    """
    _run("efficiency", {"times": times}, output, settings)


@app.command()
def interaction(
    output: Output,
    interaction: Annotated[
        Path | None, typer.Option(help="Table of measured interaction times.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Long table of scores.")] = None,
    settings: SettingsFile = None,
) -> None:
    """Compare interaction times.

    By kind of prompt, with tests and the DSC gained per second of interaction.
    """
    _run("interaction", {"interaction": interaction, "scores": scores}, output, settings)


@app.command()
def ranking(scores: Scores, output: Output, settings: SettingsFile = None) -> None:
    """Rank the methods.

    By mean, median and significance; how stable the ranks are; wins by dataset.
    """
    _run("ranking", {"scores": scores}, output, settings)


@app.command()
def survival(
    cohorts: Annotated[Path, typer.Option(help="Table of patients.")],
    measures: Annotated[Path, typer.Option(help="Table of lesions' sizes by scan and method.")],
    output: Output,
    settings: SettingsFile = None,
) -> None:
    """Relate change of lesions to survival.

    Change of diameter, area and volume: curves, tests, concordance.
    """
    _run("survival", {"cohorts": cohorts, "measures": measures}, output, settings)


@app.command()
def generalisation(
    output: Output,
    runs: Annotated[Path | None, typer.Option(help="Table of training runs.")] = None,
    settings: SettingsFile = None,
) -> None:
    """Summarise training runs.

    Recovery, gain by fine-tuning, and ablations.
    """
    _run("generalisation", {"runs": runs}, output, settings)


def _run(name: str, inputs: dict[str, Path | None], output: Path, settings: Path | None) -> None:
    from benchmark.analysis import ANALYSES, analyse

    given = {table: path for table, path in inputs.items() if path is not None}
    analyse(name, given, output, read_settings(settings))
    for table in ANALYSES[name].gives:
        print(output / f"{table}.csv")


def read_settings(path: Path | None) -> "AnalysisSettings":
    """Read the settings of the statistics; without a ``path``, return the defaults.

    ``path`` is a study file, a study's ``settings.json``, or a file with the keys of ``analysis``.
    """
    from benchmark.analysis.settings import AnalysisSettings
    from benchmark.settings import load_yaml
    from benchmark.study import Study

    content = load_yaml(path) if path else {}
    if isinstance(content, dict) and "study" in content:
        return Study.read(content, str(path)).statistics
    return AnalysisSettings.read(content, str(path))
