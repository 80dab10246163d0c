"""Commands for a study: its progress, what it takes, and its masks as NIfTI."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.arguments import OnlyStudy, only_study, read_study
from benchmark.errors import UserError, unknown_name

app = typer.Typer()


@app.command()
def status(study: OnlyStudy) -> None:
    """Show the progress of a study.

    Running or finished: stages, trainings, and cells by method and dataset.
    """
    from benchmark.status import summary

    print(summary(read_study(study), study.absolute().parents[1]))


@app.command()
def estimate(
    study: Annotated[Path, typer.Argument(help="Study file.")],
    rates: Annotated[
        Path | None,
        typer.Option(help="YAML file of rates; by default config/rates.yaml of the project."),
    ] = None,
    gpus: Annotated[int, typer.Option(help="Number of GPUs.", min=1)] = 4,
    cores: Annotated[int, typer.Option(help="Number of cores.", min=1)] = 32,
    objects: Annotated[
        int | None,
        typer.Option(help="Total number of objects, if you know it better.", min=1),
    ] = None,
) -> None:
    """Estimate what a study takes.

    Hours by stage and method, disk, memory, and the bottleneck.
    """
    from benchmark import estimate
    from benchmark.study import Study

    read = Study.load(study)
    rates = rates or estimate.RATES
    done = estimate.work(read, estimate.Rates.load(rates), objects)
    for line in estimate.text(done, gpus=gpus, cores=cores):
        print(line)
    if left_out := estimate.trainings(read):
        print(left_out)
    print(estimate.memory(read, done, gpus=gpus, cores=cores))


@app.command()
def export(
    dataset: Annotated[str, typer.Option(help="Id of the dataset.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
    method: Annotated[str | None, typer.Option(help="Name of the method in the study.")] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the study: results/<study>. By default the only study in results/."
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder below results/runs, in place of --method.")
    ] = None,
    variant: Annotated[str, typer.Option(help="Variant of the method, if it has any.")] = "",
) -> None:
    """Export a method's masks as NIfTI.

    Label maps on the images' own grids, for any viewer.
    """
    from benchmark.export import export

    if method is not None and run is None:
        study = study or only_study()
        runs = read_study(study).runs
        if method not in runs:
            raise UserError(unknown_name("method of the study", method, runs))
        run = study.parent / "runs" / runs[method].id
    elif run is None or method is not None or study is not None:
        raise UserError(
            "Name either the --method of a study, or a folder below results/runs by --run."
        )
    written, left_out = export(run, dataset, output, variant=variant)
    print(*written, sep="\n")
    if left_out:
        print(f"not predicted yet, left out: {left_out:,} scans", file=sys.stderr)
