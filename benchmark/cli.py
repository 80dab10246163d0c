"""The command line ``pambench``: a command a stage, and what a person asks for.

Imports of a stage stand inside its command, so that ``--help`` and small jobs start at once.
"""

import re
import sys
from contextlib import nullcontext
from functools import partial
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from benchmark import datasets_cli
from benchmark.analysis.commands import app as analyse
from benchmark.arguments import Folder, Input, OnlyStudy, Output, only_study
from benchmark.errors import UserError, unknown_name
from benchmark.machine.room import stop_at_full_disk
from benchmark.weights import commands as weights_cli

if TYPE_CHECKING:
    from benchmark.study import Study

COMMANDS = "pambench.commands"
"""Entry points of further commands: each a `typer.Typer` whose commands are taken in."""

STAGES = "Stages, called by the workflow"


class Listing(TyperGroup):
    """The help of the command line: commands for people first, those of the workflow apart."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section a ``rich_help_panel``; typer does so only where rich is used."""
        room = formatter.width - 6 - max(map(len, self.commands))  # a line a command
        sections: dict[str, list[tuple[str, str]]] = {"Commands": [], STAGES: []}
        for name, command in self.commands.items():
            title = getattr(command, "rich_help_panel", None) or "Commands"
            sections[title].append((name, command.get_short_help_str(room)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=Listing,
    help="Benchmark of promptable 3D medical image segmentation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
stage = partial(app.command, rich_help_panel=STAGES)
methods = typer.Typer(help="List and show methods.", no_args_is_help=True)
app.add_typer(datasets_cli.app, name="datasets")
app.add_typer(methods, name="methods")
app.add_typer(weights_cli.app, name="weights")
app.add_typer(analyse, name="analyse")

Entry = Annotated[str, typer.Option(help="Catalogue id, or the path of an entry's YAML file.")]


def _show_version(asked: bool) -> None:
    if asked:
        print(f"pambench {version('pambench')}")
        raise typer.Exit


@app.callback()
def _root(
    shown: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Benchmark of promptable 3D medical image segmentation."""


def main() -> None:
    """Run the command line; a mistake of the user is told without a traceback."""
    for point in entry_points(group=COMMANDS):
        app.registered_commands += point.load().registered_commands
    try:
        try:
            app()
        except OSError as error:
            stop_at_full_disk(error)
            if isinstance(error, PermissionError):
                raise UserError(
                    f"{error.filename or 'A file'}: no right to read or write there. Run where you "
                    "may, or ask for the rights."
                ) from error
            for kind, told in _MISPLACED.items():
                if isinstance(error, kind):
                    named = error.filename2 or error.filename
                    raise UserError(f"{named}: {told}. Name another.") from error
            raise
    except UserError as error:
        print(f"pambench: {error}", file=sys.stderr)
        sys.exit(1)


_MISPLACED = {
    IsADirectoryError: "a folder, where a file is expected",
    NotADirectoryError: "a part of it is a file, where a folder is expected",
    FileExistsError: "a file, where a folder is expected",
}


@stage()
def settings(content: str, output: Output) -> None:
    """Write a stage's settings to a JSON file."""
    import json

    from benchmark.files import write_json

    write_json(output, json.loads(content))


@stage()
def fetch(dataset: Entry, output: Output) -> None:
    """Fetch a dataset.

    Always writes a status file: ready, manual or failed, and why.
    """
    from benchmark import catalogue
    from benchmark.files import write_json

    status = catalogue.load(dataset).source.fetch(output.parent)
    write_json(output, status.model_dump())


@stage()
def fetch_weights(weights: Entry, output: Output) -> None:
    """Fetch the weights of a method.

    Checks their hash and always writes a status file.
    """
    from benchmark.files import write_json
    from benchmark.weights import store as weights_store
    from benchmark.weights.registry import load

    write_json(output, weights_store.fetch(load(weights), output.parent, weights).model_dump())


@stage()
def prepare(
    dataset: Entry,
    status: Input,
    shard: Annotated[int, typer.Option(help="Number of the shard, from 0.")],
    images: Output,
    objects: Output,
    reference: Output,
    failures: Output,
) -> None:
    """Check the scans of a shard, find objects.

    A bad scan is set aside.
    """
    from benchmark import catalogue, prepare
    from benchmark import objects as schemas
    from benchmark.files import read_json
    from benchmark.sources import Status
    from benchmark.tables import forget_shards, write_table

    entry = catalogue.load(dataset)
    got = prepare.prepare(entry, Status.read(read_json(status), str(status)), shard)
    write_table(got.images, prepare.IMAGES, images)
    write_table(got.objects, schemas.SCHEMA, objects)
    write_table(got.reference, schemas.REFERENCE_SCHEMA, reference)
    write_table(got.failures, prepare.FAILURES, failures)
    for table in (images, objects, reference, failures):
        forget_shards(table.parent, entry.shards)


@stage()
def prompts(
    settings: Input, images: Input, objects: Input, reference: Input, output: Output
) -> None:
    """Derive the prompts of a shard's objects."""
    from benchmark import prompts
    from benchmark.files import read_json
    from benchmark.specs import PromptRules
    from benchmark.tables import read_table, write_table

    rules = PromptRules.read(read_json(settings), str(settings))
    rows = prompts.of_shard(
        read_table(images), read_table(objects), read_table(reference), rules.deviations
    )
    write_table(rows, prompts.SCHEMA, output)


@stage()
def split(
    images: Input, seed: Annotated[int, typer.Option(help="Seed of the study.")], output: Output
) -> None:
    """Split the scans of a dataset by patient.

    One part is trained on, the other is held back.
    """
    from benchmark import splits
    from benchmark.files import write_json
    from benchmark.tables import read_table, records

    write_json(output, splits.split(records(read_table(images)), seed).model_dump())


@stage()
def plan(
    settings: Input,
    data: Annotated[
        list[Path], typer.Option(help="Folder of a prepared dataset. Can be repeated.")
    ],
    split: Annotated[
        list[Path], typer.Option(help="Split of the dataset; one for each --data, in that order.")
    ],
    output: Output,
) -> None:
    """Run a trainable method's planning step.

    Writes a status file.
    """
    from benchmark import at_hand, fitting
    from benchmark.files import read_json, write_json
    from benchmark.specs import Fit

    learnt = Fit.read(read_json(settings), str(settings))
    sources = [fitting.Source.read(*pair) for pair in zip(data, split, strict=True)]
    divided = {folder.name: source.split for folder, source in zip(data, sources, strict=True)}
    status = fitting.plan(learnt, sources, output.parent)
    at_hand.note(learnt, output)
    content = {name: one.model_dump() for name, one in divided.items()}
    write_json(output.parent / "split.json", content)
    write_json(output, status.model_dump())


@stage()
def fit(
    settings: Input,
    planned: Input,
    output: Output,
    weights_status: Annotated[
        Path | None, typer.Option(help="Status of the weights to start from.")
    ] = None,
    speed: Annotated[
        str, typer.Option(help="Options of the method that only change its speed, as YAML.")
    ] = "{}",
) -> None:
    """Train a method on its training cases.

    Writes a status file. Runs under torchrun too.
    """
    from benchmark import fitting
    from benchmark.files import read_json, write_json
    from benchmark.machine.claim import claim
    from benchmark.machine.device import device
    from benchmark.settings import parse_yaml
    from benchmark.specs import Fit
    from benchmark.weights import store as weights_store

    content = read_json(settings) | {"speed": parse_yaml(speed, "--speed")}
    learnt = Fit.read(content, str(settings))
    weights = weights_store.read_status(weights_status) if weights_status else None
    start = (
        weights_store.handed(weights, weights_status.parent)
        if weights and weights_status and weights.state == "ready"
        else None
    )
    ready = weights_store.read_status(planned)
    # Of several processes the first claims for all: the others would not wait for it long.
    claimed = (
        claim(output, wait=not fitting.several_processes())
        if fitting.is_first_process()
        else nullcontext(True)
    )
    purpose = f"{learnt.adapter} learns {output.parent.name}"
    with claimed as wanted, device(learnt.adapter, purpose) as where:
        if not wanted:
            print(f"{output} was made by another process in the meantime")
            return
        status = fitting.fit(learnt, ready, output.parent, where, weights=weights, start=start)
        if fitting.is_first_process():
            write_json(output, status.model_dump())


@stage()
def predict(
    settings: Input,
    images: Input,
    prompts: Input,
    masks: Output,
    times: Output,
    weights_status: Annotated[Path | None, typer.Option(help="Status of the weights.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Reference masks, for a control that may see them.")
    ] = None,
    model_status: Annotated[
        Path | None, typer.Option(help="Status of the training, for a trainable method.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split of the dataset, for a trainable method.")
    ] = None,
) -> None:
    """Run a method on the scans of a shard.

    Reads images and prompts, writes masks; sees no labels.
    """
    from benchmark import at_hand, inference, splits
    from benchmark.files import read_json
    from benchmark.machine.claim import claim
    from benchmark.machine.device import device, facts
    from benchmark.specs import Run
    from benchmark.tables import read_table, write_table
    from benchmark.weights import store as weights_store

    run = Run.read(read_json(settings), str(settings))
    status = weights_status or model_status
    found = weights_store.read_status(status) if status else None
    path = weights_store.handed(found, weights_status.parent) if found and weights_status else None
    if found and model_status:
        path = Path(found.root)
    learnt = splits.read(split).train if split else ()
    dataset = images.parent.parent.name
    # The times are written last: where they are there, so are the masks.
    with claim(times) as wanted, device(run.adapter, f"{run.adapter} on {dataset}") as where:
        if not wanted:
            print(f"{masks} was made by another process in the meantime")
            return
        results = inference.predict(
            run,
            read_table(images),
            read_table(prompts),
            weights=found,
            weights_path=path,
            reference=read_table(reference) if reference else None,
            learnt=learnt,
            device=where,
        )
        about = facts(where)
        told = {**about, "departures": results.departures}
        write_table(results.masks, inference.MASKS, masks, facts=told)
        write_table(results.times, inference.TIMES, times, facts=about)
        at_hand.note(run, masks)


@stage()
def score_shard(
    settings: Input,
    metrics: Input,
    images: Input,
    objects: Input,
    reference: Input,
    prompts: Input,
    masks: Input,
    output: Output,
) -> None:
    """Score the masks of a shard.

    Compares them with the references; every expected cell gets a row.
    """
    from benchmark import scoring
    from benchmark.files import read_json
    from benchmark.specs import Run, Scoring
    from benchmark.tables import read_table, write_table

    tables = (read_table(path) for path in (images, objects, reference, prompts, masks))
    rows = scoring.score(
        Run.read(read_json(settings), str(settings)),
        Scoring.read(read_json(metrics), str(metrics)),
        scoring.Inputs(*tables),
    )
    write_table(rows, scoring.SCHEMA, output)


@stage()
def collect(study: Folder) -> None:
    """Join the shards of a study.

    Writes its scores, times, failures and run record.
    """
    from benchmark.collect import collect

    collect(_study(study / "settings.json"), study)


@stage()
def training_runs(study: Folder) -> None:
    """Tabulate the models that a study trained.

    How well each does on each dataset.
    """
    from benchmark.files import atomic
    from benchmark.training_runs import table

    with atomic(study / "runs.csv") as temporary:
        table(_study(study / "settings.json")).to_csv(temporary, index=False)


@stage()
def measure(study: Folder) -> None:
    """Measure the lesions of a study's cohorts.

    Also joins the tables of their patients.
    """
    from benchmark.measures import measure

    measure(_study(study / "settings.json"), study)


@stage()
def check(study: Folder, output: Output) -> None:
    """Fail if a study lost more than allowed.

    Compares the lost scans, datasets and cells of each method with the study's budget.
    """
    from benchmark.collect import check
    from benchmark.files import write_json

    budget = _study(study / "settings.json").budgets.lost_share
    check(study, budget)
    write_json(output, {"lost_share": budget, "within": True})


@app.command()
def status(study: OnlyStudy) -> None:
    """Show the progress of a study.

    Running or finished: stages, trainings, and cells by method and dataset.
    """
    from benchmark.status import summary

    print(summary(_study(study / "settings.json"), study.absolute().parents[1]))


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
    from benchmark.settings import load_yaml
    from benchmark.study import Study

    read = Study.read(load_yaml(study), str(study))
    rates = rates or estimate.RATES
    done = estimate.work(read, estimate.Rates.read(load_yaml(rates), str(rates)), objects)
    for line in estimate.text(done, gpus=gpus, cores=cores):
        print(line)
    if left_out := estimate.trainings(read):
        print(left_out)
    print(estimate.memory(read, done, gpus=gpus, cores=cores))


@app.command()
def check_adapter(
    name: Annotated[str, typer.Argument(help="Registered name, or module:Class.")],
    options: Annotated[str, typer.Option(help="Options of the method, as YAML.")] = "{}",
    weights: Annotated[
        str | None,
        typer.Option(help="Weights: an id of the registry, the YAML file of an entry, or a file."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    prompt: Annotated[str | None, typer.Option(help="Check only this prompt kind.")] = None,
) -> None:
    """Check that a method conforms.

    Runs the conformance checks and lists what fails.
    """
    from benchmark.conformance.checks import findings
    from benchmark.kinds import KINDS
    from benchmark.settings import parse_yaml
    from benchmark.weights.store import at_hand

    kinds = [kind for kind in KINDS if prompt in (None, kind)]
    if not kinds:
        raise UserError(unknown_name("kind of prompt", str(prompt), KINDS))
    given = parse_yaml(options, "--options")
    if not isinstance(given, dict):
        raise UserError(
            f"Options are pairs of a name and a value, as 'quantile: 0.6'; not {given!r}."
        )
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UserError(f"Unknown device {device!r}; a method runs on cpu, cuda or cuda:1.")
    file = at_hand(weights) if weights else None
    failed = 0
    for finding in findings(name, given, device, file, kinds):
        print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.detail}", flush=True)
        failed += not finding.ok
    if failed:
        print(f"{name} does not conform yet: {failed} to fix")
        raise typer.Exit(1)
    print(f"{name} conforms")


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
        runs = _study(study / "settings.json").runs
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


Labels = Annotated[Path, typer.Option(help="Folder of label files, one per scan.")]


@app.command()
def score(
    reference: Labels,
    prediction: Labels,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="YAML file that names the values of label maps, one per line: '1: liver' or "
            "'1: {name: liver, nsd_tolerance_mm: 3}'. Without it every value is a structure."
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
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Also compute the surface metrics as another library defines them, in extra "
            "columns: 'monai', 'medpy' or 'simpleitk'. Can be repeated."
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(help="Structures compared at once; 0 means one per core.", min=0),
    ] = 0,
) -> None:
    """Score finished predictions.

    Takes two folders of label files, paired by name. NIfTI, MHA, NRRD and .seg.nrrd can be mixed.
    Every structure of every reference is expected: a prediction that is missing, broken or on
    another grid is reported as a failure. Writes scores.parquet and scores.csv, with one row per
    structure and scan, and prints a table of means.
    """
    from benchmark.files import atomic, require_writable
    from benchmark.finished import pairs as finished
    from benchmark.finished import summary
    from benchmark.metrics import EmptyPolicy
    from benchmark.tables import read_table, write_table

    names, tolerances = finished.read_labels(labels) if labels else (None, {})
    options = finished.Options(
        names=names,
        tolerances=tolerances,
        tolerance_mm=tolerance,
        empty=EmptyPolicy.read({"distance": empty}, "--empty"),
        threads=threads or finished.cores(),
        conventions=finished.conventions(also or ()),
    )
    pairs = finished.pair(reference, prediction)
    columns = finished.schema(options.conventions)
    require_writable(output)
    write_table(finished.score(pairs, options), columns, output / "scores.parquet")
    scores = read_table(output / "scores.parquet")
    with atomic(output / "scores.csv") as temporary:
        scores.to_csv(temporary, index=False)
    shown = [*summary.SHOWN, *columns.names[len(finished.SCHEMA) :]]
    print(summary.summary(scores, shown), end="")
    print(summary.failures(scores), end="", file=sys.stderr)
    if alone := finished.strangers(reference, prediction):
        print(f"predictions without a reference, not scored: {', '.join(alone)}", file=sys.stderr)
    if absent := finished.nowhere(options, set(scores["structure"])):
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
        print(metrics.markdown(), end="")
        return
    for row in metrics.table():
        print("\n".join(f"{key:>16}: {value}" for key, value in row.items()), end="\n\n")


@methods.command("list")
def list_methods() -> None:
    """List the registered methods."""
    from benchmark.adapter import available

    for name, target in available().items():
        print(f"{name:20} {target}")


@methods.command("show")
def show_method(name: str) -> None:
    """Show a method and its options.

    Options are shown with their defaults.
    """
    from dataclasses import asdict

    from benchmark.adapter import find

    cls = find(name)
    for key, value in asdict(cls.info).items():
        print(f"{key:>16}: {', '.join(value) if isinstance(value, tuple) else value}")
    for key, field in cls.Options.model_fields.items():
        print(f"{'option':>16}: {key} = {field.default!r}")


def _study(path: Path) -> "Study":
    from benchmark.files import read_json
    from benchmark.study import Study

    return Study.read(read_json(path), str(path))
