"""Generate ``docs/datasets.md`` from the catalogue: ``python -m benchmark.catalogue.page``."""

import re
import sys
from pathlib import Path

from benchmark import catalogue
from benchmark.catalogue import Dataset
from benchmark.sources.combined import CombinedSource
from benchmark.sources.manual import ManualSource
from benchmark.sources.synapse import SynapseSource

_HEAD = """# Datasets

The 44 datasets of the paper, as in the catalogue (`benchmark/catalogue/datasets/`). This page is
generated from the entries by `python -m benchmark.catalogue.page`. `pambench datasets show D13`
prints a whole entry; [data](data.md) explains how the files get to your machine.

The paper trained PAM on D01 to D34 (internal) and not on D35 to D44 (external). Which scans of the
internal datasets it used is not published, so results of its released weights there are marked as
contaminated. `part` in `images.parquet` is the [split](training-runs.md#design) at seed 0, for
methods that learn: about 80:20 by patient, the same in all datasets of one source collection.

- **access**: `automatic` needs no account; `manual` needs an account, a form or an agreement.
- **shown**: whether the licence is known to allow images and masks in a report.
- **scans**: labelled ones, as published, before channels are split into scans.
- **same source**: datasets of one source collection, or that share some scans.

The entries were written from public pages and code; no URL was opened. See
[Not verified](#not-verified) for what is uncertain. Nothing was guessed: unknown hashes are left
out.
"""


def page() -> str:
    """Return the text of the page."""
    entries = [catalogue.load(name) for name in catalogue.names() if re.match(r"D\d\d$", name)]
    parts = [_HEAD]
    for split in ("internal", "external"):
        chosen = [entry for entry in entries if entry.split == split]
        parts += [f"## {split.capitalize()}\n", _table(chosen, entries)]
    parts += ["## Not verified\n", "\n".join(_unverified(entries)) + "\n"]
    parts += ["## Good to know\n", "\n".join(_quirks(entries)) + "\n"]
    return "\n".join(parts)


def _table(chosen: list[Dataset], entries: list[Dataset]) -> str:
    head = "| id | name | modality | structures | scans | licence | shown | access | same source |"
    rows = [head, "|---|---|---|---|---|---|---|---|---|"]
    for entry in chosen:
        name = f"[{entry.name}]({entry.homepage})" if entry.homepage else entry.name
        cells = [
            entry.id,
            name,
            entry.modality,
            _structures(entry),
            str(entry.scans or ""),
            entry.licence.spdx or "not known",
            "yes" if entry.licence.redistributable else "no",
            "automatic" if by_itself(entry) else "manual",
            ", ".join(_related(entry, entries)),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def by_itself(entry: Dataset) -> bool:
    """Return whether all files of a dataset can be fetched without an account."""
    source = entry.source
    parts = source.parts if isinstance(source, CombinedSource) else (source,)
    return not any(isinstance(part, ManualSource | SynapseSource) for part in parts)


def _structures(entry: Dataset) -> str:
    names = [structure.name for structure in entry.labels.values()]
    return ", ".join(names) if len(names) <= 5 else f"{len(names)}: {', '.join(names[:3])}, ..."


def _related(entry: Dataset, entries: list[Dataset]) -> list[str]:
    shared = {e.id for e in entries if e.collection and e.collection == entry.collection}
    return sorted((shared | set(entry.overlaps)) - {entry.id})


def _unverified(entries: list[Dataset]) -> list[str]:
    found = []
    for entry in entries:
        unverified = dict.fromkeys(
            layout.unverified for layout in entry.layout if layout.unverified
        )
        found += [f"- **{entry.id}** {entry.name}: {text}." for text in unverified]
    return found


def _quirks(entries: list[Dataset]) -> list[str]:
    lines = []
    for entry in entries:
        notes = [*entry.quirks]
        if entry.spacing_note:
            notes.append(entry.spacing_note)
        if entry.registration:
            notes.insert(0, f"Needs {entry.registration}.")
        if entry.licence.note:
            notes.append(f"Licence: {entry.licence.note}")
        if notes:
            lines.append(f"- **{entry.id}** {entry.name}. {' '.join(notes)}")
    return lines


if __name__ == "__main__":
    default = Path(__file__).parents[2] / "docs" / "datasets.md"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    target.write_text(page(), encoding="utf-8")
