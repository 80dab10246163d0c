"""Commands that the workflow calls, one per rule.

Each command imports its stage when it is called, so that small jobs start quickly.
"""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands.arguments import Folder, Input, Output, read_study

if TYPE_CHECKING:
    from benchmark.sources import Status
    from benchmark.specs import Fit, Run
    from benchmark.weights.store import WeightsStatus

STAGES = "Stages, called by the workflow"

app = typer.Typer()
stage = partial(app.command, rich_help_panel=STAGES)

Entry = Annotated[str, typer.Option(help="Catalogue id, or the path of an entry's YAML file.")]
Speed = Annotated[
    str, typer.Option(help="Options of the method that change nothing in the model, as YAML.")
]


def _read_fit(settings: Path, speed: str) -> "Fit":
    """Read what a model depends on, with ``speed``, the options that do not affect it."""
    from benchmark.settings import parse_yaml
    from benchmark.specs import Fit
    from benchmark.storage.files import read_json

    content = read_json(settings) | {"speed": parse_yaml(speed, "--speed")}
    return Fit.read(content, str(settings))


def _fetched_weights(
    path: Path | None, settings: "Run | Fit"
) -> "tuple[WeightsStatus | None, Path | None]":
    """Return the status of fetched weights, and the path of what the adapter is given."""
    from benchmark.weights import store as weights_store

    if path is None:
        return None, None
    status = weights_store.WeightsStatus.load(path)
    return status, weights_store.path_for_adapter(status, path.parent, str(settings.weights))


def _trained_model(path: Path) -> "tuple[Status, Path | None]":
    """Return the status of a training, and the folder of the model."""
    from benchmark.learning import fitting
    from benchmark.sources import Status

    status = Status.load(path)
    return status, fitting.model_folder(status, path)


@stage("settings")
def write_settings(content: str, output: Output) -> None:
    """Write a stage's settings to a JSON file."""
    import json

    from benchmark.storage.files import write_json

    write_json(output, json.loads(content))


@stage("fetch")
def fetch_dataset(dataset: Entry, output: Output) -> None:
    """Fetch a dataset.

    Always writes a status file: ready, manual or failed, and why.
    """
    from benchmark import catalogue
    from benchmark.storage.files import write_json

    status = catalogue.load(dataset).source.fetch(output.parent)
    write_json(output, status.model_dump())


@stage()
def fetch_weights(weights: Entry, output: Output) -> None:
    """Fetch the weights of a method.

    Checks their hash and always writes a status file.
    """
    from benchmark.weights import store as weights_store
    from benchmark.weights.registry import load

    entry, raw = load(weights), output.parent
    weights_store.write_status(weights_store.fetch(entry, raw, weights), entry, raw)


@stage("prepare")
def prepare_shard(
    dataset: Entry,
    shard: Annotated[int, typer.Option(help="Number of the shard, from 0.")],
    images: Output,
    objects: Output,
    reference: Output,
    failures: Output,
    status: Annotated[
        Path | None, typer.Option(help="Status of the fetch. Default: looks at the user's folder.")
    ] = None,
    files: Annotated[
        str | None, typer.Option(help="Fingerprint of the shard's files, which is recorded.")
    ] = None,
) -> None:
    """Check the scans of a shard, find objects.

    A bad scan is set aside.
    """
    from benchmark import catalogue, prepare
    from benchmark import objects as schemas
    from benchmark.machine.claim import claim
    from benchmark.prepare import shard_files
    from benchmark.sources import Status, lost
    from benchmark.storage import paths
    from benchmark.storage.tables import forget_shards, write_table

    entry = catalogue.load(dataset)
    raw = paths.raw_folder(entry.id)
    # The failures are written last: if they exist, so do the others.
    with claim(failures, [status, files, entry.digest("prepare")]) as wanted:
        if not wanted:
            return
        fetched = Status.load(status) if status else lost.status_or_last(entry.source, raw)
        got = prepare.prepare(entry, fetched, shard)
        known = {shard_files.RECORDED: files} if files else {}
        write_table(got.images, prepare.IMAGE_SCHEMA, images, facts=known)
        write_table(got.objects, schemas.SCHEMA, objects)
        write_table(got.reference, schemas.REFERENCE_SCHEMA, reference)
        write_table(got.failures, prepare.FAILURE_SCHEMA, failures)
        for table in (images, objects, reference, failures):
            forget_shards(table.parent, entry.shards)


@stage("prompts")
def derive_prompts(
    settings: Input, images: Input, objects: Input, reference: Input, output: Output
) -> None:
    """Derive the prompts of a shard's objects."""
    from benchmark import prompts
    from benchmark.machine.claim import claim
    from benchmark.specs import PromptRules
    from benchmark.storage.tables import read_table, write_table

    with claim(output, [settings, images, objects, reference]) as wanted:
        if not wanted:
            return
        rules = PromptRules.load(settings)
        rows = prompts.shard_rows(
            read_table(images), read_table(objects), read_table(reference), rules.deviations
        )
        write_table(rows, prompts.SCHEMA, output)


@stage("split")
def split_dataset(
    images: Input, seed: Annotated[int, typer.Option(help="Seed of the study.")], output: Output
) -> None:
    """Split the scans of a dataset by patient.

    One part is trained on, the other is held back.
    """
    from benchmark import stages
    from benchmark.learning import splits
    from benchmark.machine.claim import claim
    from benchmark.storage.files import write_json
    from benchmark.storage.tables import read_table, records

    with claim(output, [images, f"split {stages.SPLIT}"]) as wanted:
        if not wanted:
            return
        write_json(output, splits.split(records(read_table(images)), seed).model_dump())


@stage("plan")
def plan_training(
    settings: Input,
    data: Annotated[
        list[Path], typer.Option(help="Folder of a prepared dataset. Can be repeated.")
    ],
    split: Annotated[
        list[Path], typer.Option(help="Split of the dataset; one for each --data, in that order.")
    ],
    output: Output,
    speed: Speed = "{}",
) -> None:
    """Run a trainable method's planning step.

    Writes a status file.
    """
    from benchmark.learning import fitting
    from benchmark.machine.claim import claim
    from benchmark.methods import external_state
    from benchmark.storage.files import write_json

    learnt = _read_fit(settings, speed)
    datasets = [fitting.PreparedDataset.read(*pair) for pair in zip(data, split, strict=True)]
    divided = {folder.name: dataset.split for folder, dataset in zip(data, datasets, strict=True)}
    with claim(output, [settings, *data, *split]) as wanted:
        if not wanted:
            return
        status = fitting.plan(learnt, datasets, output.parent)
        external_state.record(learnt, output)
        content = {name: one.model_dump() for name, one in divided.items()}
        write_json(output.parent / "split.json", content)
        write_json(output, status.model_dump())


@stage("fit")
def train_model(
    settings: Input,
    planned: Input,
    output: Output,
    weights_status: Annotated[
        Path | None, typer.Option(help="Status of the weights to start from.")
    ] = None,
    speed: Speed = "{}",
) -> None:
    """Train a method on its training cases.

    Writes a status file. Runs under torchrun too.
    """
    from benchmark.learning import fitting
    from benchmark.machine.claim import claim
    from benchmark.machine.device import device
    from benchmark.sources import Status
    from benchmark.storage.files import write_json

    learnt = _read_fit(settings, speed)
    weights, start = _fetched_weights(weights_status, learnt)
    ready = Status.load(planned)
    # Of several processes only the first claims, without waiting: the others would time out.
    claimed = (
        claim(output, [settings, planned, weights_status], wait=not fitting.several_processes())
        if fitting.is_first_process()
        else nullcontext(True)
    )
    purpose = f"{learnt.adapter} learns {output.parent.name}"
    with claimed as wanted:
        if not wanted:
            return
        begins = ready.is_ready and (weights is None or weights.is_ready)
        chosen = device(learnt.adapter, purpose, learnt.options) if begins else nullcontext("cpu")
        with chosen as where:
            status = fitting.fit(learnt, ready, output.parent, where, weights=weights, start=start)
        if fitting.is_first_process():
            write_json(output, status.model_dump())


@stage("predict")
def predict_shard(
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

    Reads images and prompts, writes masks; sees no labels. Continues after the
    scans of a job that was cut off.
    """
    from benchmark import inference
    from benchmark.collecting.study_record import OVERRIDES_RECORDED
    from benchmark.inference import partial_shard
    from benchmark.learning.splits import Split
    from benchmark.machine.attempts import attempts
    from benchmark.machine.claim import claim
    from benchmark.machine.device import device, facts
    from benchmark.methods import external_state, own_source
    from benchmark.specs import Run
    from benchmark.storage import paths
    from benchmark.storage.tables import read_table, write_table

    run = Run.load(settings)
    if model_status:
        model = inference.Model(*_trained_model(model_status), is_trained=True)
    else:
        model = inference.Model(*_fetched_weights(weights_status, run))
    training_scans = Split.load(split).train if split else ()
    purpose = f"{run.adapter} on {images.parent.parent.name}"
    inputs = [settings, images, prompts, weights_status, reference, model_status, split]
    # The times are written last: if they exist, so do the masks.
    with claim(times, inputs) as wanted:
        if not wanted:
            return
        prompt_rows = read_table(prompts)
        computes = inference.needs_method(run, prompt_rows, model, training_scans)
        chosen = device(run.adapter, purpose, run.options) if computes else nullcontext(None)
        with attempts(times) as tried, chosen as where:
            about = facts(where) if where else {}
            source = own_source.loaded_source(run.adapter)
            key = partial_shard.key_of(run, inputs, about)
            partial = partial_shard.PartialShard(
                inference.MASK_SCHEMA, paths.parts_folder(masks), key, adapter=run.adapter
            )
            results = inference.predict(
                run,
                read_table(images),
                prompt_rows,
                model=model,
                reference=read_table(reference) if reference else None,
                training_scans=training_scans,
                device=where or "cpu",
                attempts=tried,
                partial=partial,
            )
            source = own_source.loaded_source(run.adapter) | source  # as it was when loaded
            mask_facts = {
                **about,
                OVERRIDES_RECORDED: results.protocol_overrides,
                own_source.RECORDED: source,
            }
            write_table(results.masks, inference.MASK_SCHEMA, masks, facts=mask_facts)
            write_table(results.times, inference.TIME_SCHEMA, times, facts=about)
            external_state.record(run, masks)
            partial.forget()


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
    tolerances: Annotated[
        str, typer.Option(help="Tolerances of NSD in the dataset's entry: mm by name, as YAML.")
    ] = "{}",
) -> None:
    """Score the masks of a shard.

    Compares them with the references; every expected cell gets a row.
    """
    from benchmark import scoring
    from benchmark.machine.claim import claim
    from benchmark.settings import parse_yaml
    from benchmark.specs import Run, Scoring
    from benchmark.storage.tables import read_table, write_table

    inputs = (images, objects, reference, prompts, masks)
    with claim(output, [settings, metrics, tolerances, *inputs]) as wanted:
        if not wanted:
            return
        tables = scoring.Inputs(*map(read_table, inputs))
        rules = Scoring.load(metrics).with_defaults(parse_yaml(tolerances, "--tolerances"))
        rows = scoring.score(Run.load(settings), rules, tables)
        write_table(rows, scoring.SCHEMA, output)


@stage("collect")
def collect_shards(study: Folder) -> None:
    """Join the shards of a study.

    Writes its scores, times, failures and run record.
    """
    from benchmark.collecting.collect import collect

    collect(read_study(study), study)


@stage("training-runs")
def tabulate_training_runs(study: Folder) -> None:
    """Tabulate the models that a study trained.

    How well each does on each dataset.
    """
    from benchmark.collecting.training_runs import table
    from benchmark.storage.tables import write_csv

    write_csv(table(read_study(study)), study / "runs.csv")


@stage("measure")
def measure_lesions(study: Folder) -> None:
    """Measure the lesions of a study's cohorts.

    Also joins the tables of their patients.
    """
    from benchmark.collecting.lesion_sizes import write_cohort_tables

    write_cohort_tables(read_study(study), study)


@stage("check")
def check_losses(study: Folder, output: Output) -> None:
    """Fail if a study lost more than allowed.

    Compares the lost scans, datasets and cells of each method with the study's budget.
    """
    from benchmark.collecting.losses import require_within_budget
    from benchmark.storage.files import write_json

    budget = read_study(study).budgets.lost_share
    require_within_budget(study, budget)
    write_json(output, {"lost_share": budget, "within": True})
