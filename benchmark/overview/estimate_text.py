"""The estimate of a study as text."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from benchmark import stages
from benchmark.adapter import Learner
from benchmark.analysis import MEMORY_PER_SIZE
from benchmark.methods.registry import find
from benchmark.overview.estimate import Job, Rate, Work
from benchmark.study import Study


def text(done: Sequence[Work], *, gpus: int, cores: int) -> Iterator[str]:
    """Yield the estimate as lines of Markdown.

    ``gpus`` is 0 for `benchmark.overview.estimate.Rates.without_gpu`.
    """
    yield "| work | units | one costs | CPU hours | GPU hours | basis |"
    yield "|---|---:|---|---:|---:|---|"
    for item in done:
        hours = f"{_number(item.cpu_hours)} | {_number(item.gpu_hours)}"
        units = f"{item.units:,.0f} x {item.rate.per}"
        basis = f"{item.rate.basis}: {item.rate.source}"
        yield f"| {item.name} | {units} | {_one(item.rate)} | {hours} | {basis} |"
    cpu = sum(item.cpu_hours or 0 for item in done)
    gpu = sum(item.gpu_hours or 0 for item in done)
    yield f"| all | | | {_number(cpu)} | {_number(gpu)} | |"
    yield ""
    on_gpus, on_cores = gpu / gpus if gpus else 0.0, cpu / cores
    if gpus:
        yield (
            f"On {gpus} GPUs and {cores} cores: {_number(on_gpus)} hours of the GPUs and "
            f"{_number(on_cores)} of the cores, in parallel, as long as both have work."
        )
    else:
        yield f"On {cores} cores, without a GPU: {_number(on_cores)} hours."
    if cpu or gpu:
        slow = "GPUs" if on_gpus >= on_cores else "cores"
        spent: defaultdict[str, float] = defaultdict(float)
        for item in done:
            spent[item.name] += (item.gpu_hours if slow == "GPUs" else item.cpu_hours) or 0
        most = max(spent, key=spent.__getitem__)
        share = spent[most] / sum(spent.values())
        yield f"The bottleneck: the {slow}, {share:.0%} of whose hours go to {most}."
    size = sum(item.units * item.rate.bytes for item in done)
    yield f"Results on the disk: {_number(size / 1e9)} GB, beside the data."
    if lacking := [item.name for item in done if item.rate.basis == "not known"]:
        yield f"Not in these sums, since nobody knows the rate: {', '.join(lacking)}."


def longest(job: Job) -> str:
    """Return a sentence on the result of `benchmark.overview.estimate.longest_job`."""
    return (
        f"The longest job: {_number(job.hours)} hours, {job.method} on a shard of {job.dataset}; "
        "the study takes at least that. A job that is cut off continues after its finished scans."
    )


def trainings(study: Study) -> str | None:
    """Return a sentence on the trainings, which no sum includes; None for a study without any."""
    models = set()
    for trained in study.trained:
        learner = find(trained.run.adapter)(trained.run.options)
        assert isinstance(learner, Learner)
        models |= {(trained.run.fit.id, learner.model_for(dataset)) for dataset in study.entries}
    if not models:
        return None
    return f"Not in these sums: {len(models):,} trainings and the predictions of their models."


def memory(study: Study, done: Sequence[Work], *, gpus: int, cores: int) -> str:
    """Return a sentence on the memory that jobs request at most.

    ``done``: the result of `benchmark.overview.estimate.work`.
    """
    resources = [
        find(method.adapter)(method.options).resources for method in study.methods.values()
    ]
    on_gpu = max((one.memory_mb for one in resources if one.gpus), default=0) if gpus else 0
    cpu = [one.memory_mb // one.threads for one in resources if not (one.gpus and gpus)]
    on_core = max([stages.MEMORY_MB, *cpu])
    claims = (mb / 1000 for mb in (on_gpu, on_core, gpus * on_gpu + cores * on_core))
    one, other, every = (f"{gb:,.0f} GB" for gb in claims)
    size = sum(item.units * item.rate.bytes for item in done if item.rate.of == "collect")
    analysis = max(stages.MEMORY_MB / 1000, MEMORY_PER_SIZE * size / 1e9)
    of_one = f"{one} for one on a GPU, {other} on a core" if gpus else f"{other} on a core"
    return (
        f"Memory that jobs claim: {of_one}; {every} at most. At the end each analysis claims "
        f"{analysis:,.0f} GB; --resources mem_mb=... bounds their sum."
    )


def _one(rate: Rate) -> str:
    for value, unit in ((rate.cpu_s, "CPU s"), (rate.gpu_s, "GPU s"), (rate.gpu_gflop, "GFLOP")):
        if value is not None:
            return f"{value:,g} {unit}"
    return ""


def _number(value: float | None) -> str:
    """Format hours or GB: as a whole number, or one significant digit of what is less than 1."""
    if value is None:
        return ""
    if 0 < value < 0.001:
        return "< 0.001"
    return f"{value:,.0f}" if value >= 1 else f"{value:.1g}"
