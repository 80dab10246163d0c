"""Tables made from the record of a study, among them the paper's Tables S1 and S18."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmark.windows import CLINICAL, SOURCE
from reports import headline, scoring, sections
from reports.formatting import NONE, mean_cell
from reports.notes import TRAINED_ON
from reports.printed import PrintedTable
from reports.supplement import NORMALISATION

if TYPE_CHECKING:
    from reports.results import Results

_DATASETS = {
    "id": "Dataset",
    "name": "Name",
    "split": "Split",
    "modality": "Modality",
    "state": "State",
    "scans": "Scans",
    "published": "Published",
    "objects": "Objects",
    "licence": "Licence",
    "homepage": "Site",
}
_FAILURES = {
    "stage": "Stage",
    "method": "Method",
    "dataset": "Dataset",
    "count": "Count",
    "reason": "Reason",
}
_WINDOWS = {
    "name": "Window",
    "centre": "Centre (HU)",
    "width": "Width (HU)",
    "source": "Source",
}


def printed(results: "Results") -> Iterator[PrintedTable]:
    """Yield the tables in the order of `reports.supplement.NAMES`."""
    yield _headline(results)
    datasets = sections.datasets(results)
    heading = "Table S1: Datasets and where they are"
    about = (*sections.held_back(results), *scoring.spacing_notes(results))
    yield _table("datasets", heading, _DATASETS, datasets, notes=about)
    failures = sections.failures(results.failures)
    yield _table("failures", "What was set aside or failed", _FAILURES, failures, "Nothing.")
    yield windows(results)


def windows(results: "Results") -> PrintedTable:
    """Return the fixed windows that dynamic normalisation is compared with (paper, Table S18).

    Where the study ran the normalisation ablation, the table also gives the mean DSC of each
    window over the datasets.
    """
    measured = results.statistics("ablation_overall")
    measured = measured[(measured["ablation"] == NORMALISATION) & (measured["metric"] == "dsc")]
    columns = {**_WINDOWS, **{f"dsc_{m}": f"DSC, {m}" for m in dict.fromkeys(measured["method"])}}
    means = {
        (f"dsc_{row['method']}", str(row["setting"]).replace(" ", "-")): mean_cell(
            row["mean"], row["matched"], row["expected"], row["contaminated"]
        )
        for row in measured.to_dict("records")
    }
    rows = [
        {"name": name, "centre": f"{(low + high) / 2:g}", "width": f"{high - low:g}"}
        | {"source": SOURCE}
        | {key: means.get((key, name), NONE) for key in columns if key not in _WINDOWS}
        for name, (low, high) in CLINICAL.items()
    ]
    about = ("The paper's windows are only in its supplement, and may differ.",)
    notes = (*about, TRAINED_ON) if measured["contaminated"].any() else about
    heading = "Table S18: Fixed windows of the normalisation"
    return _table("windows", heading, columns, rows, notes=notes)


def _headline(results: "Results") -> PrintedTable:
    import pandas as pd

    found = headline.headline(results)
    splits = found.get("splits", [])
    head = ["Method", "Prompt", *(f"DSC, {split.lower()}" for split in splits), "Rank"]
    head.append("Ranked first (bootstrap)")
    cells = [
        [
            row["method"] + " (control)" * row["control"],
            row["prompt"],
            *(" ".join(filter(None, (c["text"], _bracketed(c["interval"])))) for c in row["cells"]),
            row["rank"],
            row["first"],
        ]
        for row in found.get("rows", [])
    ]
    numbers = results.overall[results.overall["metric"] == headline.METRIC]
    ranks = results.statistics("ranking")
    ranks = ranks[(ranks["metric"] == headline.METRIC) & (ranks["scheme"] == headline.SCHEME)]
    ranks = ranks[["split", "method", "rank", "low", "high", "first_share", "cells", "datasets"]]
    names = {name: f"rank_{name}" for name in ("low", "high", "cells", "datasets")}
    joined: pd.DataFrame = numbers.merge(
        ranks.rename(columns=names), on=["split", "method"], how="left"
    )
    notes = [found["ranked"]] if found.get("ranked") else []
    heading = f"DSC and ranks with {results.confidence} intervals"
    return PrintedTable.one_block("headline", heading, joined, head, cells, notes)


def _bracketed(interval: str) -> str:
    return f"[{interval}]" if interval else ""


def _table(
    name: str,
    heading: str,
    columns: dict[str, str],
    rows: Sequence[Mapping[str, object]],
    when_empty: str = "No rows.",
    notes: tuple[str, ...] = (),
) -> PrintedTable:
    import pandas as pd

    numbers = pd.DataFrame(rows, columns=list(columns))
    cells = [[str(row[key]) for key in columns] for row in rows]
    head = list(columns.values())
    return PrintedTable.one_block(name, heading, numbers, head, cells, notes, when_empty)
