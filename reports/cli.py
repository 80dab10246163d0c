"""Subcommands of ``pambench`` that draw figures and write tables and the report."""

from typing import Annotated

import typer

from benchmark.commands.arguments import OnlyStudy

app = typer.Typer(help="Figures, tables and the report of a study.", no_args_is_help=True)


@app.command()
def figures(
    study: OnlyStudy,
    only: Annotated[str | None, typer.Option(help="Draw only this figure, e.g. fig4a.")] = None,
) -> None:
    """Draw the figures.

    PDF, SVG, PNG and caption of each, in results/<study>/figures.
    """
    from reports.figures import make
    from reports.results import Results

    for stem in make(Results(study), only):
        typer.echo(f"{stem}.pdf, .svg, .png")


@app.command()
def tables(study: OnlyStudy) -> None:
    """Write Table 1 and supplementary tables.

    As csv, md and tex, in results/<study>/tables.
    """
    from reports.results import Results
    from reports.tables import make

    for path in make(Results(study)):
        typer.echo(str(path))


@app.command()
def cases(
    study: OnlyStudy,
    megabytes: Annotated[
        float | None,
        typer.Option(help="Space in the report; by default report.cases_mb of the study.", min=0),
    ] = None,
    private_images: Annotated[
        bool | None,
        typer.Option(
            help="Show images whatever their licence; by default report.private_images of the "
            "study."
        ),
    ] = None,
) -> None:
    """Choose the cases that the report shows.

    Writes results/<study>/cases.json.
    """
    from reports.cases import build
    from reports.results import Results

    found = Results(study)
    room = found.report_settings.cases_mb if megabytes is None else megabytes
    private = found.report_settings.private_images if private_images is None else private_images
    typer.echo(str(build.make(found, room, private=private)))


@app.command()
def ledger(study: OnlyStudy) -> None:
    """Compare a study with the paper's numbers.

    Writes results/<study>/statistics/ledger.csv.
    """
    from reports.paper.ledger import make
    from reports.results import Results

    typer.echo(str(make(Results(study))))


@app.command()
def report(study: OnlyStudy) -> None:
    """Write the report of a study.

    results/<study>/report.html, one file that opens without a network.
    """
    from reports.html import make
    from reports.results import Results

    typer.echo(str(make(Results(study))))
