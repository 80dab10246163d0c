"""Software, methods, weights and datasets that a study used, with licences and citations."""

from typing import TYPE_CHECKING, Any

from benchmark.citations import address, bibtex

if TYPE_CHECKING:
    from reports.results import Results

PAPER = "doi:10.1038/s41746-025-02087-y"
TITLE = (
    "PAM: a propagation-based model for segmenting any 3D objects across multi-modal medical images"
)
"""Title of the paper whose study this project follows; see CITATION.cff."""


def cited_works(results: "Results") -> dict[str, Any]:
    """Return ``rows``, one per item with licence and citation, and ``bibtex``, one entry per work.

    Items with the same citation share one BibTeX entry.
    """
    rows = [*_software(results), *_methods(results), *_datasets(results)]
    entries: dict[str, str] = {}
    for row in rows:
        if row["citation"] or row["site"]:
            entry = bibtex(row["key"], row["title"], row["citation"], row["site"] or None)
            entries.setdefault(row["citation"] or row["key"], entry)
    return {"rows": rows, "bibtex": "\n".join(entries.values())}


def _row(
    kind: str,
    key: str,
    licence: str | None,
    citation: str | None,
    *,
    name: str | None = None,
    title: str | None = None,
    site: str = "",
) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name or key,
        "key": key,
        "title": title,
        "licence": licence or "none stated",
        "citation": citation or "",
        "address": address(citation) if citation else None,
        "site": site if site.startswith(("https://", "http://")) else "",
    }


def _software(results: "Results") -> list[dict[str, Any]]:
    name = f"pambench {results.record.get('pambench') or ''}".strip()
    return [_row("software", "pambench", "Apache-2.0", PAPER, name=name, title=TITLE)]


def _methods(results: "Results") -> list[dict[str, Any]]:
    """Return rows for methods and weights; controls are nobody's work and are left out."""
    rows = []
    for name, entry in results.method_records.items():
        if entry.control:
            continue
        rows.append(_row("method", name, entry.licence, entry.citation))
        if entry.weights:
            known = f"{entry.weights_name or entry.weights}, of {name}"
            key = f"{name}-weights"
            rows.append(_row("weights", key, entry.weights_licence, None, name=known))
    return rows


def _datasets(results: "Results") -> list[dict[str, Any]]:
    """Return rows for the datasets that were available."""
    rows = []
    for key, entry in results.dataset_records.items():
        if entry.state != "ready":
            continue
        title = entry.name or key
        name = key if title == key else f"{key} {title}"
        site = entry.homepage or ""
        rows.append(
            _row("dataset", key, entry.licence, entry.citation, name=name, title=title, site=site)
        )
        for number, citation in enumerate(entry.data_citations, start=1):
            about = {"name": f"{name}: data", "title": f"{title}: data"}
            own_key = f"{key}-data-{number}"
            rows.append(_row("dataset", own_key, entry.licence, citation, **about))
    return rows
