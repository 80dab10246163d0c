"""Commands that score finished predictions and describe the metrics."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmark.commands.arguments import examples
from benchmark.errors import UserError

app = typer.Typer()

Labels = Annotated[Path, typer.Option(help="Folder of label files, one per scan.")]


@app.command(
    epilog=examples(
        "score --reference labels --prediction masks --labels labels.yaml",
        "score --reference labels --prediction masks --tolerance 1 --convention monai",
    )
)
def score(
    reference: Labels,
    prediction: Labels,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="YAML file that names the values of label maps, one per line: '1: liver' or "
            "'1: {name: liver, nsd_tolerance_mm: 3}'. Without it every value is a structure. "
            "'not_evaluated: [255]' leaves out the voxels where a reference has 255."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("scores"),
    tolerance: Annotated[
        float, typer.Option(help="Tolerance of NSD in mm, unless the labels name one.", min=0)
    ] = 2.0,
    empty: Annotated[
        str,
        typer.Option(
            help="Distances where one mask is empty: the scan's 'diagonal', or 'leave-out'."
        ),
    ] = "diagonal",
    convention: Annotated[
        list[str] | None,
        typer.Option(
            help="Also compute the surface metrics by the convention of another library, in extra "
            "columns: 'monai', 'medpy' or 'simpleitk'. Can be repeated."
        ),
    ] = None,
    engine: Annotated[
        Literal["auto", "numpy", "numba", "reference"],
        typer.Option(
            help="Code that computes surface distances, with the same values; 'reference' is the "
            "library surface-distance itself."
        ),
    ] = "auto",
    threads: Annotated[
        int,
        typer.Option(
            help="Scans and structures scored at once, of at most eight scans; 0 means one per "
            "core.",
            min=0,
        ),
    ] = 0,
) -> None:
    """Score finished predictions.

    Takes two folders of label files, paired by name. NIfTI, MHA, NRRD and .seg.nrrd can be mixed.
    Every structure of every reference is expected: a prediction that is missing, broken or on
    another grid is reported as a failure. Writes scores.parquet and scores.csv, with one row per
    structure and scan, and prints a table of means.
    """
    from benchmark.finished import pairs as finished
    from benchmark.finished import summary
    from benchmark.metrics import EmptyPolicy
    from benchmark.storage.files import require_writable
    from benchmark.storage.tables import read_table, write_csv, write_table

    named = finished.read_labels(labels) if labels else finished.LabelFile()
    options = finished.Options(
        names=named.names,
        not_evaluated=named.not_evaluated,
        tolerances=named.tolerances,
        tolerance_mm=tolerance,
        empty=EmptyPolicy.read({"distance": empty}, "--empty"),
        threads=threads or finished.cores(),
        conventions=finished.check_conventions(convention or ()),
        engine=engine,
    )
    pairs = finished.pair(reference, prediction)
    columns = finished.schema(options.conventions)
    require_writable(output)
    write_table(finished.score(pairs, options), columns, output / "scores.parquet")
    scores = read_table(output / "scores.parquet")
    write_csv(scores, output / "scores.csv")
    shown = [*summary.SHOWN, *columns.names[len(finished.SCHEMA) :]]
    print(summary.summary(scores, shown) + summary.replaced(scores), end="")
    print(summary.failures(scores), end="", file=sys.stderr)
    if alone := finished.unmatched_predictions(reference, prediction):
        print(f"predictions without a reference, not scored: {', '.join(alone)}", file=sys.stderr)
    if absent := finished.unused_names(options, set(scores["structure"])):
        print(f"named in {labels}, in no file: {', '.join(absent)}", file=sys.stderr)
    if not (scores["status"] == "ok").any():
        raise UserError(
            f"Nothing could be scored; each reason is in {output / 'scores.csv'}."
            if len(scores)
            else f"Nothing to score: none of the structures looked for is in a file of {reference} "
            f"or {prediction}. Next step: look at the values of the label maps"
            + (f" and at {labels}." if labels else ".")
        )


@app.command("metrics")
def list_metrics(
    markdown: Annotated[bool, typer.Option(help="Print the table of docs/metrics.md.")] = False,
) -> None:
    """List the metrics and their definitions.

    Formula, unit, range, direction, what empty masks mean, source.
    """
    from benchmark import metrics

    if markdown:
        print(metrics.metrics_markdown(), end="")
        return
    for row in metrics.metric_rows():
        print("\n".join(f"{key:>16}: {value}" for key, value in row.items()), end="\n\n")
