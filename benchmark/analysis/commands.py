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


@app.command()
def regularity(
    scores: Scores,
    objects: Annotated[Path, typer.Option(help="Table of the objects and their shape.")],
    out: Out,
    settings: SettingsFile = None,
) -> None:
    """Change of DSC against the reference method (analysis.reference) over the objects' shape."""
    _run("regularity", {"scores": scores, "objects": objects}, out, settings)


@app.command()
def efficiency(
    times: Annotated[Path, typer.Option(help="Table of inference times.")],
    out: Out,
    settings: SettingsFile = None,
) -> None:
    """Inference times by phase, their tests, and costs."""
    _run("efficiency", {"times": times}, out, settings)


@app.command()
def interaction(
    out: Out,
    interaction: Annotated[
        Path | None, typer.Option(help="Table of measured interaction times.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Long table of scores.")] = None,
    settings: SettingsFile = None,
) -> None:
    """Interaction times by kind of prompt, their tests, and DSC a second of interaction."""
    _run("interaction", {"interaction": interaction, "scores": scores}, out, settings)


@app.command()
def ranking(scores: Scores, out: Out, settings: SettingsFile = None) -> None:
    """Ranks by mean, median and significance, how stable they are, and wins by dataset."""
    _run("ranking", {"scores": scores}, out, settings)


@app.command()
def survival(
    cohorts: Annotated[Path, typer.Option(help="Table of patients.")],
    measures: Annotated[Path, typer.Option(help="Table of lesions' sizes by scan and method.")],
    out: Out,
    settings: SettingsFile = None,
) -> None:
    """Change of diameter, area and volume against survival: curves, tests, concordance."""
    _run("survival", {"cohorts": cohorts, "measures": measures}, out, settings)


@app.command()
def generalisation(
    out: Out,
    runs: Annotated[Path | None, typer.Option(help="Table of training runs.")] = None,
    settings: SettingsFile = None,
) -> None:
    """Recovery, gain by fine-tuning, and ablations, from a table of training runs."""
    _run("generalisation", {"runs": runs}, out, settings)


def _run(name: str, inputs: dict[str, Path | None], out: Path, settings: Path | None) -> None:
    from benchmark.analysis import analyse

    given = {table: path for table, path in inputs.items() if path is not None}
    analyse(name, given, out, read_settings(settings))


def read_settings(path: Path | None) -> "AnalysisSettings":
    """Read those of a study (its file or ``settings.json``) or of a file; or the defaults."""
    from benchmark.analysis.settings import AnalysisSettings
    from benchmark.settings import load_yaml
    from benchmark.study import Study

    content = load_yaml(path) if path else {}
    if isinstance(content, dict) and "study" in content:
        return Study.read(content, str(path)).statistics
    return AnalysisSettings.read(content, str(path))
