"""Reads and encodes the chosen cases into one file, ``cases.json``, for the report."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import UserError
from benchmark.storage.files import write_json
from benchmark.volume import channel_modality
from reports.cases import encoding
from reports.cases.choice import choose, judged
from reports.cases.loading import Case, load_case
from reports.formatting import is_missing

if TYPE_CHECKING:
    from reports.results import Results

NAME = "cases.json"
MOST_CASES = 60
MARGIN_MM = 25.0
"""Margin around an object, wide enough to show where it lies in the body."""


@dataclass
class Kept:
    """Cases that go into the report, and those that do not.

    ``size``: bytes of base64 pixels; ``over``: number of cases that exceed the budget; ``missing``:
    cases whose files cannot be read, and why.
    """

    cases: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0
    over: int = 0
    missing: list[dict[str, str]] = field(default_factory=list)


def make(results: "Results", megabytes: float, *, private: bool = False) -> Path:
    """Write ``cases.json`` into the study's folder and return its path; see `content`."""
    path = results.folder / NAME
    write_json(path, content(results, megabytes, private=private))
    return path


def content(results: "Results", megabytes: float, *, private: bool = False) -> dict[str, Any]:
    """Choose cases and read their pixels, within a budget of ``megabytes``.

    ``private`` includes datasets whose licence is not known to allow images. The result has the
    keys ``cases`` (see `describe`), ``bytes`` used of ``budget_bytes``, ``scored`` (number of
    objects), ``allowed`` (those whose images may be shown), ``forbidden`` (datasets whose images
    may not), ``over`` (number of chosen cases beyond the budget) and ``missing`` (cases that could
    not be read).
    """
    found = judged(results.objects, judges(results))
    shown = results.datasets_with_images(include_restricted=private)
    budget = megabytes * 1e6
    kept = _keep(choose(found, shown, MOST_CASES if budget else 0), results, budget)
    return {
        "cases": kept.cases,
        "bytes": kept.size,
        "budget_bytes": int(budget),
        "scored": len(found),
        "allowed": int(found["dataset"].isin(list(shown)).sum()),
        "forbidden": sorted(set(found["dataset"]) - shown),
        "over": kept.over,
        "missing": kept.missing,
    }


def judges(results: "Results") -> list[str]:
    """Return the methods by whose scores cases are chosen; controls only without any method."""
    methods = [m for m in results.methods_in_table_order if m not in results.controls]
    blind = [m for m in results.controls if not results.method_record(m).sees_reference]
    return methods or blind or list(results.methods_in_table_order)


def _keep(chosen: list[dict[str, Any]], results: "Results", budget: float) -> Kept:
    """Keep cases in order while they fit; one that does not fit is skipped for smaller ones."""
    kept = Kept()
    for row, case in _read(chosen, results, kept):
        entry = describe(row, case)
        size = len(entry["pixels"])
        if kept.size + size > budget:
            kept.over += 1
            continue
        kept.size += size
        kept.cases.append(entry)
    return kept


def _read(
    chosen: list[dict[str, Any]], results: "Results", kept: Kept
) -> Iterator[tuple[dict[str, Any], Case]]:
    for row in chosen:
        try:
            yield row, load_case(results, row, MARGIN_MM)
        except (UserError, OSError) as error:
            kept.missing.append({"object": f"{row['dataset']}/{row['object']}", "why": str(error)})


def describe(row: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """Return the data of a case for the viewer; ``row`` is one of `choose`.

    ``shape`` and ``spacing`` (mm) are (z, y, x), after reduction by ``step``; ``guide`` is the
    guiding slice with the half-open box of the 2D prompt; ``pixels`` is the base64 of
    `encoding.pack`, whose masks are the reference, then those of the methods in ``masks``.
    """
    steps = encoding.step(case.image.shape, case.spacing)
    modality = str(row["modality"])
    images = case.channels or {"": case.image}
    channels = {
        name: encoding.encode(
            encoding.reduce(image, steps).astype(np.float32),
            channel_modality(name, modality),
        )
        for name, image in images.items()
    }
    drawn = {m: a.mask for m, a in case.answers.items() if a.mask is not None}
    masks = [encoding.reduce(mask, steps) >= 0.5 for mask in (case.truth, *drawn.values())]
    packed = encoding.pack([channel.codes for channel in channels.values()], masks)
    return {
        "key": f"{case.dataset}/{case.object}",
        **{name: str(row[name]) for name in ("dataset", "scan", "object", "structure")},
        "modality": modality,
        "kinds": row["kinds"],
        "mean": _number(row["mean"]),
        "spread": _number(row["spread"]),
        "shape": list(masks[0].shape),
        "spacing": [round(s * n, 5) for s, n in zip(case.spacing, steps, strict=True)],
        "step": list(steps),
        "guide": {
            "axis": case.axis,
            "index": min(max(case.index // steps[case.axis], 0), masks[0].shape[case.axis] - 1),
            "box": _box(case.prompt, steps) if case.prompt else None,
        },
        "channels": [
            {
                "name": name,
                "values": [round(value, 6) for value in channel.values],
                "marks": channel.marks,
                "windows": [[n, *(round(v, 6) for v in w)] for n, w in channel.windows.items()],
            }
            for name, channel in channels.items()
        ],
        "masks": list(drawn),
        "answers": {m: {"dsc": a.dsc, "reason": a.reason} for m, a in case.answers.items()},
        "pixels": base64.b64encode(packed).decode("ascii"),
    }


def _box(box: tuple[int, ...], steps: encoding.Step) -> list[int]:
    low = [start // s for start, s in zip(box[::2], steps, strict=True)]
    high = [-(-stop // s) for stop, s in zip(box[1::2], steps, strict=True)]
    return [edge for pair in zip(low, high, strict=True) for edge in pair]


def _number(value: Any) -> float | None:
    return None if is_missing(value) else round(float(value), 4)
