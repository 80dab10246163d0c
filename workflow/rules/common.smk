# The study, and what the rules of the stages need from it.

import atexit
import functools
import gc
import json
import logging
import os
import shlex
import shutil
import sys
import uuid
from pathlib import Path

from snakemake.logging import logger

from benchmark import stages
from benchmark.adapter import Learner
from benchmark.analysis import ANALYSES, MEMORY_PER_SIZE, OPTIONAL_TABLES
from benchmark.errors import UserError
from benchmark.machine import attempts, clock, cluster_jobs
from benchmark.machine.workflow_progress import replace_job_lines, write_while_silent
from benchmark.methods import own_source
from benchmark.methods.external_state import recorded
from benchmark.methods.registry import find
from benchmark.settings import load_yaml
from benchmark.sources import lost
from benchmark.sources.local import LocalSource
from benchmark.storage import disk, paths
from benchmark.storage.files import CHECKSUM
from benchmark.study import Study
from benchmark.weights import registry, store

# As in `benchmark.cli`: Snakemake's own start and end are most of a dry run, and of a small job.
atexit.register(gc.freeze)

# Refuse duplicate keys, of which Snakemake itself silently takes the last.
for path in map(Path, workflow.configfiles):
    if path.suffix != ".json":
        load_yaml(path)

# A study can also be run from its settings.json, which has a checksum.
STUDY = Study.read(
    {key: value for key, value in config.items() if key != CHECKSUM}, "the study file"
)
STUDY_FOLDER = paths.STUDY.format(study=STUDY.study)
TRAINED = {trained.run.id: trained for trained in STUDY.trained}
METHOD_RUNS = {run.id: run for run in STUDY.runs.values()}
RUNS = METHOD_RUNS | {name: trained.run for name, trained in TRAINED.items()}
ADAPTERS = {run.id: find(run.adapter) for run in RUNS.values()}
RESOURCES = {
    run: adapter(RUNS[run].options).resources for run, adapter in ADAPTERS.items()
}
LEARNERS = {
    run: adapter(RUNS[run].options | RUNS[run].speed)
    for run, adapter in ADAPTERS.items()
    if issubclass(adapter, Learner)
}
FITS = {RUNS[run].fit.id: RUNS[run].fit for run in LEARNERS}
FITTED = {RUNS[run].fit.id: learner for run, learner in LEARNERS.items()}
DATASETS = STUDY.entries
COHORTS = list(STUDY.analysis.cohorts)
WEIGHTS = {
    run.weights: registry.load(run.weights) for run in RUNS.values() if run.weights
}
WEIGHTS_BY_ID = {entry.id: name for name, entry in WEIGHTS.items()}

# Folder -> content of its settings.json. The folder's name holds the digest of that content, so
# changed settings go to another folder. The study's own folders are the exception, and all that
# depends on them is cheap: what only figures and report depend on is kept with the figures, so that
# a change of it reruns nothing before them.
SETTINGS = {
    **{f"prompts/{rules.id}": rules for rules in STUDY.all_prompt_rules},
    STUDY.study: STUDY,
    f"{STUDY.study}/figures": STUDY.report,
    **{f"runs/{run.id}": run for run in RUNS.values()},
    **{f"models/{fit}": settings for fit, settings in FITS.items()},
    **{
        f"runs/{run.id}/scores-{STUDY.scoring.id}": STUDY.scoring
        for run in RUNS.values()
    },
}

# Not in a profile, since any --resources on the command line would replace it.
if "downloads" not in workflow.global_resources:
    workflow.register_resource("downloads", 4)

WRITTEN = [Path(), Path(paths.DATA), Path(paths.RESULTS)]

if workflow.is_main_process:
    os.environ[attempts.WORKFLOW] = uuid.uuid4().hex  # jobs inherit it, except pods
    logging.raiseExceptions = (
        False  # when the disk is full, our one message about it is enough
    )
    disk.require_writable_folders(WRITTEN)
    PROGRESS = replace_job_lines(logger)

if workflow.is_main_process and "gpu" in workflow.global_resources:
    there = workflow.global_resources["gpu"].value
    for fit, learner in FITTED.items():
        if 1 < learner.fit_resources.gpus > there:
            raise UserError(
                f"The training {fit} is on {learner.fit_resources.gpus} GPUs, and all running jobs "
                f"together may use {there} (--resources gpu={there}). Next step: give more, or set "
                "`gpus` in the options of the method."
            )

# Jobs find `pambench` beside the Python that runs Snakemake, even if no environment is active.
shell.prefix(
    f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; set -euo pipefail; "
)


wildcard_constraints:
    dataset=r"[^/]+",
    shard=r"\d+",
    run=r"[^/]+",
    fit=r"[^/]+",
    rules=r"[^/]+",
    scoring=r"[^/]+",
    weights=r"[^/]+",
    model=r"[^/]+",
    seed=r"\d+",


def job_resources(mem_mb=stages.MEMORY_MB, minutes=240):
    """Return a job's resources for a cluster; `mem_mb` may be a function of wildcards and input.

    Both grow with each of the first three attempts; the minutes only up to a day or to `minutes`,
    whichever is longer, because partitions often allow no more and Slurm would never start the job.
    They are set in the rules because --default-resources and --set-resources on the command line
    replace all of those in a profile.
    """
    first = mem_mb if callable(mem_mb) else lambda wildcards, input: mem_mb
    return {
        "mem_mb": lambda wildcards, input, attempt: (
            min(attempt, 3) * first(wildcards, input)
        ),
        "runtime": lambda wildcards, attempt: max(
            minutes, min(min(attempt, 3) * minutes, 1440)
        ),
    }


def memory_of_tables(wildcards, input):
    """Return the MiB of a job that loads its tables, at least `stages.MEMORY_MB`.

    Tables that do not exist yet count as 0.
    """
    size = sum(path.stat().st_size for path in map(Path, input) if path.is_file())
    return max(stages.MEMORY_MB, int(MEMORY_PER_SIZE * size / 2**20))


def forget_what_is_forced(workflow):
    """Delete what jobs of `predict` that were cut off have left, if the user forces them.

    Snakemake itself also forces jobs that were cut off, which are to continue.
    """
    settings = workflow.dag_settings
    for job in workflow.dag.needrun_jobs():
        named = {job.rule.name, *map(str, job.output)} & {*settings.forcerun}
        if job.rule.name == "predict" and (settings.forceall or named):
            shutil.rmtree(
                paths.parts_folder(Path(job.output.masks)), ignore_errors=True
            )
            paths.attempts_file(Path(job.output.times)).unlink(missing_ok=True)


# For jobs that may need a GPU: scale=0 sets limits, without which Kubernetes assigns no GPU.
KUBERNETES_GPU = {"gpu_manufacturer": "nvidia", "scale": 0}


def shards(pattern, datasets=None, **fields):
    """Return the paths of `pattern` for all shards of all, or the named, datasets of the study."""
    return [
        str(path)
        for entry, path in STUDY.shards(pattern, **fields)
        if datasets is None or entry.id in datasets
    ]


def tables_of(analysis):
    """Return name -> path of the tables that an analysis takes.

    Tables provided by the user are included only if the study names them. Training runs are such a
    table, unless the study makes them itself.
    """
    optional = {name: getattr(STUDY.analysis, name) for name in OPTIONAL_TABLES}
    if STUDY.training.makes_runs:
        optional["runs"] = f"{STUDY_FOLDER}/runs.csv"
    made = {
        name: f"{STUDY_FOLDER}/{name}.parquet"
        for name in analysis.takes
        if name not in OPTIONAL_TABLES
    }
    return made | {
        name: optional[name]
        for name in analysis.takes
        if optional.get(name) is not None
    }


def of_dataset(pattern):
    return lambda wildcards: shards(pattern, [wildcards.dataset])


def entry_name(wildcards):
    return STUDY.entry_names[wildcards.dataset]


# Functions of wildcards only: Snakemake does not compare params that depend on outputs.
def fingerprint_of_data(wildcards):
    raw = paths.raw_folder(wildcards.dataset)
    return lost.fingerprint_or_last(DATASETS[wildcards.dataset].source, raw)


@functools.cache
def fingerprints_of_shards(dataset):
    # Imported late: it brings SimpleITK, and Snakemake parses this file for each job.
    from benchmark.prepare import shard_files

    entry = DATASETS[dataset]
    return shard_files.fingerprints_or_last(entry, entry.source.root)


def files_of_shard(wildcards):
    if not is_local(wildcards):
        return ""
    found = fingerprints_of_shards(wildcards.dataset)
    return f"--files {found[int(wildcards.shard)]}"


def is_local(wildcards):
    return isinstance(DATASETS[wildcards.dataset].source, LocalSource)


# Not ancient(): Snakemake overlooks other reasons to run a job behind one that runs.
def status_of_fetch(wildcards):
    return [] if is_local(wildcards) else paths.STATUS.format(**wildcards)


def fingerprint_of_weights(wildcards):
    raw = paths.weights_folder(wildcards.weights)
    return store.fingerprint(WEIGHTS[WEIGHTS_BY_ID[wildcards.weights]], raw)


# What a run, or its models, needs from outside the study: what is missing, and its fingerprint.
@functools.cache
def external_state(of):
    adapter = FITTED[of] if of in FITTED else ADAPTERS[of](RUNS[of].options)
    return adapter.missing_requirement(), adapter.external_state()


# If something is missing now, keep the results that were made with it.
def external_state_param(of, output):
    missing, found = external_state(of)
    before = recorded(Path(output)) if missing else None
    return found if before is None else before


def prompts_of_run(wildcards):
    return paths.PROMPTS.format(
        rules=RUNS[wildcards.run].prompts,
        dataset=wildcards.dataset,
        shard=wildcards.shard,
    )


def weights_status(of):
    name = (RUNS | FITS)[of].weights
    return [paths.WEIGHTS_STATUS.format(weights=WEIGHTS[name].id)] if name else []


# A method that learns gets its weights for training, and its model for prediction.
def weights_of_run(wildcards):
    return [] if wildcards.run in LEARNERS else weights_status(wildcards.run)


def model_of_run(wildcards):
    if wildcards.run not in LEARNERS:
        return []
    model = LEARNERS[wildcards.run].model_for(wildcards.dataset)
    return [paths.MODEL.format(fit=RUNS[wildcards.run].fit.id, model=model)]


def split_of_run(wildcards):
    if wildcards.run not in LEARNERS:
        return []
    return [paths.SPLIT.format(seed=STUDY.seed, dataset=wildcards.dataset)]


def datasets_of_model(wildcards):
    return FITTED[wildcards.fit].datasets_of(wildcards.model)


def memory_of_method(wildcards, input):
    return RESOURCES[wildcards.run].memory_mb


# It takes `input` so that Snakemake does not compare it: new runtime options do not rerun a training.
def speed_of_fit(wildcards, input):
    return json.dumps(FITS[wildcards.fit].speed)


def memory_of_plan(wildcards, input):
    return FITTED[wildcards.fit].plan_resources.memory_mb


def memory_of_training(wildcards, input):
    return FITTED[wildcards.fit].fit_resources.memory_mb


def launcher_of_training(wildcards):
    gpus = FITTED[wildcards.fit].fit_resources.gpus
    torchrun = f"torchrun --standalone --nproc-per-node {gpus} --no-python "
    return torchrun if gpus > 1 else ""


def reference_of_run(wildcards):
    seen = ADAPTERS[wildcards.run].info.sees_reference
    return [paths.REFERENCE.format(**wildcards)] if seen else []
