"""Commands for a study: its progress, what it takes, and its masks for viewers."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmark.commands.arguments import OnlyStudy, examples, only_study, read_study
from benchmark.errors import UserError, unknown_name

app = typer.Typer()


@app.command(epilog=examples("status", "status --study results/demo"))
def status(study: OnlyStudy) -> None:
    """Show the progress of a study.

    Running or finished: stages, trainings, and cells by method and dataset.
    """
    from benchmark.overview.status import summary

    print(summary(read_study(study), study.absolute().parents[1]))


@app.command(
    epilog=examples(
        "estimate config/paper.yaml --gpus 4 --cores 32",
        "estimate my/study.yaml --gpus 0 --cores 8 --objects 500",
    )
)
def estimate(
    study: Annotated[Path, typer.Argument(help="Study file.")],
    rates: Annotated[
        Path | None,
        typer.Option(help="YAML file of rates; by default config/rates.yaml of the project."),
    ] = None,
    gpus: Annotated[int, typer.Option(help="Number of GPUs; 0 for none.", min=0)] = 4,
    cores: Annotated[int, typer.Option(help="Number of cores.", min=1)] = 32,
    objects: Annotated[
        int | None,
        typer.Option(help="Total number of objects, if you know it better.", min=1),
    ] = None,
) -> None:
    """Estimate what a study takes.

    Hours by stage and method, disk, memory, and the bottleneck.
    """
    from benchmark.overview import estimate, estimate_text
    from benchmark.study import Study

    read = Study.load(study)
    table = estimate.Rates.load(rates or estimate.RATES)
    table = table if gpus else table.without_gpu()
    done = estimate.work(read, table, objects)
    for line in estimate_text.text(done, gpus=gpus, cores=cores):
        print(line)
    print(estimate_text.longest(estimate.longest_job(read, table, objects)))
    if left_out := estimate_text.trainings(read):
        print(left_out)
    print(estimate_text.memory(read, done, gpus=gpus, cores=cores))


@app.command(
    epilog=examples(
        "export --study results/demo --method pam-2dmask --dataset P01 --output masks",
        "export --method pam-2dmask --dataset P01 --output masks --by structure",
    )
)
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
    by: Annotated[
        Literal["object", "structure"],
        typer.Option(help="One mask per object, or one per structure as `pambench score` takes."),
    ] = "object",
    slicer: Annotated[
        bool,
        typer.Option("--slicer", help="Write .seg.nrrd, in which masks may overlap, not NIfTI."),
    ] = False,
) -> None:
    """Export a method's masks for viewers.

    They lie on the grids of the image files.

    By object, values are the numbers in the JSON file beside each label map. By structure, they are
    those of labels.yaml, which are the dataset's own if the method is named by its study.
    """
    from benchmark.export import export

    entry = None
    if method is not None and run is None:
        study = study or only_study()
        read = read_study(study)
        if method not in read.runs:
            raise UserError(unknown_name("method of the study", method, read.runs))
        run = study.parent / "runs" / read.runs[method].id
        entry = next((entry for entry in read.entries.values() if entry.id == dataset), None)
    elif run is None or method is not None or study is not None:
        raise UserError(
            "Name either the --method of a study, or a folder below results/runs by --run."
        )
    suffix: Literal[".nii.gz", ".seg.nrrd"] = ".seg.nrrd" if slicer else ".nii.gz"
    made = export(run, dataset, output, variant=variant, by=by, suffix=suffix, entry=entry)
    print(*made.files, sep="\n")
    if made.hidden:
        print(
            f"{made.hidden:,} voxels belong to several masks; the label maps give them to the "
            "smallest. To keep them all: --slicer",
            file=sys.stderr,
        )
    if made.left_out:
        print(f"not predicted yet, left out: {made.left_out:,} scans", file=sys.stderr)
