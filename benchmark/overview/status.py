"""Progress of a study: stages, check, trainings, scans and cells, read from its files alone.

Nothing is started or locked, so that it can be asked while the study runs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.errors import UserError
from benchmark.methods import own_source
from benchmark.overview.training_status import models_of, named_runs, one_line, trainings
from benchmark.sources import Status
from benchmark.storage import paths
from benchmark.storage.tables import read_table
from benchmark.study import Study

STATES = ("ok", "skipped", "failed")
_PROMPT_COLUMNS = ["kind", "deviation"]
_MASK_COLUMNS = ["variant", "deviation", "status", "reason"]


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow, and how many of its files exist."""

    name: str
    done: int
    expected: int


@dataclass(frozen=True)
class Cell:
    """Progress of a method on a dataset: shards predicted, predictions by status, and a reason.

    ``expected``: number of predictions, as far as the prompts exist; variants count as well.
    ``reason``: the most frequent one.
    """

    method: str
    dataset: str
    shards_done: int
    shards: int
    expected: int
    states: dict[str, int]
    reason: str | None

    @property
    def waiting(self) -> int:
        """Number of predictions that are still missing."""
        return max(self.expected - sum(self.states.values()), 0)


def stages(study: Study, root: Path) -> list[Stage]:
    """Count the files of each stage below ``root``, the folder in which the workflow runs."""
    runs = dict.fromkeys(run.id for _, _, run in named_runs(study))
    folder = paths.at(paths.STUDY, study=study.study)

    def shards(pattern: str, **fields: str) -> list[Path]:
        return [path for _, path in study.shards(pattern, **fields)]

    expected: dict[str, Sequence[str | Path]] = {
        "fetch": [paths.STATUS.format(dataset=name) for name in study.entries],
        "prepare": shards(paths.IMAGES),
        "prompts": [
            path
            for rules in study.all_prompt_rules
            for path in shards(paths.PROMPTS, rules=rules.id)
        ],
        "train": [paths.MODEL.format(fit=fit, model=model) for fit, model in models_of(study)],
        "predict": [path for run in runs for path in shards(paths.MASKS, run=run)],
        "score": [
            path for run in runs for path in shards(paths.SCORES, run=run, scoring=study.scoring.id)
        ],
        "collect": [folder / "scores.parquet"],
        "report": [folder / "report.html"],
    }
    return [
        Stage(name, sum((root / path).exists() for path in files), len(files))
        for name, files in expected.items()
        if files
    ]


def cells(study: Study, root: Path) -> list[Cell]:
    """Count the predictions of each method on each dataset below ``root``, by status."""
    found = []
    for name, run in study.runs.items():
        for dataset, entry in study.entries.items():
            states: Counter[str] = Counter()
            reasons: Counter[str] = Counter()
            expected = done = 0
            for shard in range(entry.shards):
                where = {"dataset": dataset, "shard": shard}
                prompts = root / paths.PROMPTS.format(rules=run.prompts, **where)
                if (found_prompts := _there(prompts, _PROMPT_COLUMNS)) is not None:
                    mine = found_prompts.loc[found_prompts["kind"] == run.prompt, "deviation"]
                    expected += sum(len(run.variants_at(deviation)) for deviation in mine)
                masks = root / paths.MASKS.format(run=run.id, **where)
                if (rows := _there(masks, _MASK_COLUMNS)) is not None:
                    # Shards from when every variant ran at every deviation are still valid.
                    pairs = zip(rows["variant"], rows["deviation"], strict=True)
                    kept = [variant in run.variants_at(at) for variant, at in pairs]
                    rows = rows[pd.Series(kept, index=rows.index, dtype=bool)]
                    states.update(rows["status"])
                    reasons.update(rows["reason"].dropna())
                    done += 1
            frequent = reasons.most_common(1)
            counted = {state: states[state] for state in STATES}
            reason = frequent[0][0] if frequent else _why_nothing(dataset, root)
            found.append(Cell(name, dataset, done, entry.shards, expected, counted, reason))
    return found


def set_aside(study: Study, root: Path) -> dict[str, tuple[int, int]]:
    """Return by dataset the scans set aside, and the total of scans set aside or prepared."""
    found = {}
    for dataset, entry in study.entries.items():
        aside = prepared = 0
        for shard in range(entry.shards):
            where = {"dataset": dataset, "shard": shard}
            lost = _there(root / paths.SET_ASIDE.format(**where), ["scan"])
            kept = _there(root / paths.IMAGES.format(**where), ["scan"])
            aside += 0 if lost is None else int(lost["scan"].count())
            prepared += 0 if kept is None else len(kept)
        found[dataset] = (aside, aside + prepared)
    return found


def final_check(study: Study, root: Path) -> str:
    """Return how the check of the loss budget ended on the current scores."""
    folder = root / paths.STUDY.format(study=study.study)
    passed, scores = folder / "within-budget.json", folder / "scores.parquet"
    log = root / paths.CHECK_LOG.format(study=study.study)
    if _made_after(passed, scores):
        return "passed"
    if not _made_after(log, scores):
        return "has not run"
    message = one_line(log.read_text(encoding="utf-8", errors="replace"))
    return f"failed: {message}" if message else "has not ended"


def summary(study: Study, root: Path) -> str:
    """Return the state of a study as text."""
    lines = [f"study {study.study}: {_activity(root)}", ""]
    for stage in stages(study, root):
        lines.append(f"  {stage.name:8} {stage.done:6} of {stage.expected:<6} {_bar(stage)}")
    lines.append(f"  {'check':8} {final_check(study, root)}")
    if learning := trainings(study, root):
        found = [
            (t.name, "" if t.seed is None else str(t.seed), t.model, t.state) for t in learning
        ]
        lines += ["", *_aligned([("training", "seed", "learns from", "state"), *found])]
    rows: list[tuple[str, ...]] = [("method", "dataset", "shards", *STATES, "waiting", "reason")]
    for cell in cells(study, root):
        counts = [str(cell.states[state]) for state in STATES]
        shards = f"{cell.shards_done}/{cell.shards}"
        reason = one_line(cell.reason or "")
        rows.append((cell.method, cell.dataset, shards, *counts, str(cell.waiting), reason))
    lost = [(name, f"{n} of {of}") for name, (n, of) in set_aside(study, root).items() if n]
    if lost:
        lines += ["", *_aligned([("dataset", "scans set aside"), *lost])]
    lines += ["", *_aligned(rows)]
    if notes := list(own_source.edited(study, root)):
        lines += ["", *notes]
    return "\n".join(lines)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in rows)
    return ["  " + "  ".join(row).rstrip() for row in padded]


def _activity(root: Path) -> str:
    if any((root / ".snakemake" / "locks").glob("*")):
        return "a workflow runs here, or was killed (then: snakemake --unlock)"
    return "no workflow runs here"


def _made_after(path: Path, origin: Path) -> bool:
    """Return whether ``path`` was made from the current ``origin``, not from an earlier one."""
    there = path.exists() and origin.exists()
    return there and path.stat().st_mtime >= origin.stat().st_mtime


def _there(path: Path, columns: list[str]) -> pd.DataFrame | None:
    """Read a table if it exists: a running workflow deletes tables that it will make again."""
    try:
        return read_table(path, columns)
    except UserError:
        if path.exists():
            raise
        return None


def _bar(stage: Stage, width: int = 30) -> str:
    share = stage.done / stage.expected if stage.expected else 1.0
    full = int(width * share)
    return f"[{'#' * full}{'.' * (width - full)}] {share:4.0%}"


def _why_nothing(dataset: str, root: Path) -> str | None:
    path = root / paths.STATUS.format(dataset=dataset)
    if not path.exists():
        return None
    status = Status.load(path)
    return None if status.is_ready else status.summary
