"""The report: one self-contained HTML file, for readers who did not run the study."""

import base64
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis.frames import ALL
from benchmark.storage.files import atomic
from reports import (
    appendix,
    detail_tables,
    headline,
    main_tables,
    prompts,
    references,
    scoring,
    sections,
    variants,
)
from reports.cases.links import spots
from reports.cases.page import page as cases
from reports.figures import FIGURES
from reports.formatting import plain_text
from reports.notes import notes
from reports.paper import ledger_view
from reports.style import NONE_DRAWN

if TYPE_CHECKING:
    from reports.results import Results

PROTOCOLS = {
    "paper": "as the paper's text describes it",
    "released": "as the authors' released scripts do it",
    "rigorous": "with the stricter choices of this project",
}
_SOURCES = {
    "phantom": "Generated phantoms: volumes made by a program, not patients. They show that the "
    "methods run and how they differ on known shapes. They say nothing about clinical performance.",
    "internal": "Internal datasets: collections on which PAM was trained in the paper.",
    "external": "External datasets: collections on which PAM was not trained in the paper.",
    "local": "Own datasets of whoever ran the study.",
}
_MIME = {"svg": "image/svg+xml", "png": "image/png"}


class Numbering:
    """Counters that number figures and tables in the order in which the page shows them."""

    def __init__(self) -> None:
        """Start both counters at 1."""
        self._figures, self._tables = count(1), count(1)

    def figure(self) -> int:
        """Return the number of the next figure."""
        return next(self._figures)

    def table(self) -> int:
        """Return the number of the next table."""
        return next(self._tables)


def make(results: "Results") -> Path:
    """Write ``report.html`` into the study's folder and return its path."""
    path = results.folder / "report.html"
    text = render(results)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def render(results: "Results") -> str:
    """Return the HTML of the report; all text that comes from data is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(**content(results))


def content(results: "Results") -> dict[str, Any]:
    """Return the variables of the template."""
    datasets = sections.datasets(results)
    browser = cases(results)
    behind = browser.get("places", set())
    splits = [str(s) for s in results.overall["split"].unique() if s != ALL]
    return {
        "title": results.report_settings.title,
        "study": results.settings.get("study", results.folder.name),
        "protocol": results.settings.get("protocol", "unknown"),
        "protocol_means": PROTOCOLS.get(str(results.settings.get("protocol")), ""),
        "overriding": _overriding(results),
        "machine": _machine(results.record),
        "private": results.restricted_images_shown,
        "sources": [_SOURCES[s] for s in splits if s in _SOURCES],
        "weights": _weights(results),
        "controls": results.controls,
        "seeing": [m for m in results.controls if results.method_record(m).sees_reference],
        "counts": _counts(results),
        "notes": notes(results),
        "prompt_notes": prompts.NOTES,
        "version": results.record.get("pambench") or "of unknown version",
        "commit": results.record.get("commit"),
        "dirty": results.record.get("dirty"),
        "headline": headline.headline(results),
        "blocks": sections.blocks(results),
        "headings": main_tables.headings(),
        "bold": main_tables.BOLD,
        "scoring": scoring.notes(results),
        "data_notes": [*sections.held_back(results), *scoring.spacing_notes(results)],
        "figures": [
            {"name": name, "section": entry.section, "title": entry.title}
            | {"paper": entry.panels or name.removeprefix("fig")}
            | _figure(results.folder, name, behind)
            for name, entry in FIGURES.items()
        ],
        "numbers": Numbering(),
        "made": appendix.files(results.folder),
        "appendix": appendix.appendix(results),
        "columns": results.methods_in_table_order,
        "cases": browser,
        "per_dataset": sections.per_dataset(results),
        "confidence": results.confidence,
        "by_structure": detail_tables.structures(results),
        "variants": variants.variants(results),
        "within": detail_tables.within(results),
        "comparison": sections.comparison(results.comparison),
        "ledger": ledger_view.view(results),
        "failures": sections.failures(results.failures),
        "about_methods": sections.methods(results),
        "method_notes": [*sections.on_the_cpu(results), *sections.of_mixed_source(results)],
        "datasets": datasets,
        "works": references.cited_works(results),
        "facts": plain_text(
            {k: v for k, v in results.record.items() if k not in ("datasets", "methods")}
        ),
    }


def _overriding(results: "Results") -> list[str]:
    """Return the methods that override settings of the protocol."""
    return [
        m for m in results.methods_in_table_order if results.method_record(m).protocol_overrides
    ]


def _machine(record: dict[str, Any]) -> str:
    return ", ".join(str(record[key]) for key in ("processor", "system") if record.get(key))


def _weights(results: "Results") -> list[tuple[str, str]]:
    known = {method: results.method_record(method) for method in results.methods_in_table_order}
    return [
        (method, sections.weights_of(entry)) for method, entry in known.items() if entry.weights
    ]


def _counts(results: "Results") -> dict[str, int]:
    rows = results.overall
    rows = rows[(rows["metric"] == "dsc") & (rows["split"] == ALL)]
    states = [entry.state for entry in results.dataset_records.values()]
    totals = {name: int(rows[name].sum()) for name in ("ok", "expected", "skipped", "failed")}
    return {
        **totals,
        "datasets": len(states),
        "ready": states.count("ready"),
        "scored": int(results.by_dataset.loc[results.by_dataset["n"] > 0, "dataset"].nunique()),
        "contaminated": int(rows["contaminated"].sum()),
        "aside": results.set_aside,
        "scans": results.set_aside + results.prepared,
    }


def _figure(study: Path, name: str, behind: set[str]) -> dict[str, Any]:
    """Return the caption, alternative text, file links and image (as a data URL) of a figure.

    ``behind`` holds the anchors of the page that points of a figure may link to. Empty if the
    figure was not drawn.
    """
    entry = FIGURES[name]
    suffix = entry.shown
    path = study / "figures" / f"{name}.{suffix}"
    if not path.exists():
        return {}
    caption = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    files = appendix.links(study, f"figures/{name}", ("pdf", "svg", "png"))
    drawing = path.with_suffix(".svg").read_text(encoding="utf-8")
    return {
        "caption": caption,
        "seen": "No picture: see the caption." if NONE_DRAWN in drawing else entry.seen,
        "source": f"data:{_MIME[suffix]};base64,{data}",
        "files": files,
        "spots": spots(drawing, behind) if suffix == "svg" else [],
    }
