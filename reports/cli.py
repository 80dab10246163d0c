"""Command line of the reports; its commands stand beside those of the benchmark."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Figures, tables and the report of a study.", no_args_is_help=True)


def only_study() -> Path:
    """Give the folder of the only study in ``results``; a `UserError` names several."""
    from benchmark import paths
    from benchmark.errors import UserError

    records = Path().glob(f"{paths.STUDY.format(study='*')}/record.json")
    found = sorted(path.parent for path in records)
    if len(found) == 1:
        return found[0]
    named = ", ".join(map(str, found)) or "none"
    raise UserError(
        f"Which study? Expected one in results/, where --study names none; got: {named}. Next "
        "step: name it, --study results/<study>."
    )


Study = Annotated[
    Path,
    typer.Option(
        default_factory=only_study,
        help="Folder of the study: results/<study>.",
        show_default="the only study in results/",
    ),
]


@app.command()
def figures(
    study: Study,
    only: Annotated[str | None, typer.Option(help="Draw this figure only, e.g. fig4a.")] = None,
) -> None:
    """Draw the figures as PDF, SVG and PNG, each with its caption, into results/<study>/figures."""
    from reports.figures import make
    from reports.results import Results

    for stem in make(Results(study), only):
        typer.echo(f"{stem}.pdf, .svg, .png")


@app.command()
def tables(study: Study) -> None:
    """Write Table 1 and the supplementary tables as csv, md and tex into results/<study>/tables."""
    from reports import recorded, tables, tidy
    from reports.results import Results

    results = Results(study)
    for path in (*tables.make(results), *recorded.make(results), *tidy.make(results)):
        typer.echo(str(path))


@app.command()
def cases(
    study: Study,
    megabytes: Annotated[
        float | None,
        typer.Option(help="Room in the report; by default report.cases_mb of the study.", min=0),
    ] = None,
) -> None:
    """Choose the cases that the report lets readers look at: results/<study>/cases.json."""
    from reports.cases import build
    from reports.results import Results

    found = Results(study)
    room = found.report.cases_mb if megabytes is None else megabytes
    typer.echo(str(build.make(found, room)))


@app.command()
def ledger(study: Study) -> None:
    """Hold each number of the paper against this study: results/<study>/statistics/ledger.csv."""
    from reports.paper.ledger import make
    from reports.results import Results

    typer.echo(str(make(Results(study))))


@app.command()
def report(study: Study) -> None:
    """Write results/<study>/report.html: one file that opens without a network."""
    from reports.html import make
    from reports.results import Results

    typer.echo(str(make(Results(study))))
