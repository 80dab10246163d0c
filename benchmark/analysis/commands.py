"""``pambench analyse NAME``: each analysis on tables of this project or of other origin."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

app = typer.Typer(
    help="Compute statistics from tables of scores; the tables are described in docs/analyses.md.",
    no_args_is_help=True,
)

Scores = Annotated[Path, typer.Option(help="Long table of scores, csv or parquet.")]
Objects = Annotated[
    Path | None, typer.Option(help="Table of the objects: their slices' distance, size, shape.")
]
Out = Annotated[Path, typer.Option(help="Folder to write the tables to.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option(help="A study's settings.json, or a YAML file with keys of `analysis`."),
]


@app.command()
def fingerprint(
    images: Annotated[Path, typer.Option(help="Table of the scans: images.parquet.")],
    objects: Annotated[Path, typer.Option(help="Table of the objects: objects.parquet.")],
    out: Out,
    settings: SettingsFile = None,
) -> None:
    """Properties of the datasets, their object types, and the paper's training samples."""
    _run("fingerprint", {"images": images, "objects": objects}, out, settings)


@app.command()
def averages(scores: Scores, out: Out, settings: SettingsFile = None) -> None:
    """Averages by structure, by dataset and over datasets, with intervals and denominators."""
    _run("averages", {"scores": scores}, out, settings)


@app.command()
def comparison(scores: Scores, out: Out, settings: SettingsFile = None) -> None:
    """Paired comparison of methods over datasets and over scans, and by a mixed model."""
    _run("comparison", {"scores": scores}, out, settings)


@app.command()
def stability(scores: Scores, out: Out, settings: SettingsFile = None) -> None:
    """DSC over deviations of the guiding slice: both ANOVAs, and equivalence."""
    _run("stability", {"scores": scores}, out, settings)


@app.command()
def thickness(
    scores: Scores, out: Out, objects: Objects = None, settings: SettingsFile = None
) -> None:
    """DSC over the reach of a propagation (analysis.thickness): both ANOVAs, and equivalence."""
    _run("thickness", {"scores": scores, "objects": objects}, out, settings)


def _run(name: str, inputs: dict[str, Path | None], out: Path, settings: Path | None) -> None:
    from benchmark.analysis import analyse

    given = {table: path for table, path in inputs.items() if path is not None}
    analyse(name, given, out, read_settings(settings))


def read_settings(path: Path | None) -> "AnalysisSettings":
    """Read those of a study (its file or ``settings.json``) or of a file; or the defaults."""
    from benchmark.analysis.settings import AnalysisSettings
    from benchmark.settings import load_yaml
    from benchmark.study import Study

    content = load_yaml(path) if path else {}  # JSON is YAML
    if isinstance(content, dict) and "study" in content:
        return Study.read(content, str(path)).statistics
    return AnalysisSettings.read(content, str(path))
