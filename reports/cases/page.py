"""The case browser's part of the report: list of cases, pixels, scores of all objects."""

import base64
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.storage.files import read_json
from reports.cases.build import NAME, judges
from reports.cases.choice import CASE_KINDS, judged
from reports.formatting import is_missing
from reports.style import TRUTH, border_on_tissue

if TYPE_CHECKING:
    from reports.results import Results

MOST_POINTS = 2000
"""Approximate limit of objects in the plot; beyond it, every n-th object and all cases."""

ASSETS = Path(__file__).parents[1] / "assets"
NIIVUE = "niivue-0.69.0.umd.js"


def page(results: "Results") -> dict[str, Any]:
    """Return the template variables of the case browser; empty without ``cases.json``.

    ``index`` is read by the script: the cases without pixels, the methods with their lines,
    and the scores of all objects as ``points``. ``links`` and ``datasets`` hold the keys and
    datasets of the cases, ``places`` the anchors that figures may link to, ``forbidden`` the
    datasets left out by licence.
    """
    path = results.folder / NAME
    if not path.exists():
        return {}
    kept = dict(read_json(path))
    cases = [dict(case) for case in kept.pop("cases")]
    pixels = [case.pop("pixels") for case in cases]
    keys = [case["key"] for case in cases]
    styles = results.styles
    index = {
        "truth": TRUTH,
        "kinds": CASE_KINDS,
        "methods": [
            {"name": m, "colour": styles[m].colour, "dash": styles[m].dash}
            | {"border": border_on_tissue(styles[m].colour), "control": m in results.controls}
            for m in results.methods_in_table_order
        ],
        "points": points(results, set(keys)),
        "cases": cases,
    }
    known = results.dataset_records
    licences: dict[str, list[str]] = {}
    for name in kept["forbidden"]:
        licences.setdefault(known[name].licence or "unknown", []).append(name)
    return kept | {
        "index": index,
        "pixels": pixels,
        "judges": judges(results),
        "kinds": CASE_KINDS,
        "links": set(keys),
        "datasets": {case["dataset"] for case in cases},
        "places": {f"case:{key}" for key in keys}
        | {f"cases:{case['dataset']}/" for case in cases}
        | {f"cases:{case['dataset']}/ {case['structure']}" for case in cases},
        "forbidden": licences,
        **_niivue(),
        "reduced": sum(max(case["step"]) > 1 for case in cases),
        "megabytes": f"{kept['bytes'] / 1e6:.1f}",
        "budget": f"{kept['budget_bytes'] / 1e6:g}",
    }


def points(results: "Results", keys: set[str]) -> list[list[Any]]:
    """Return [dataset, object, DSC of each method or None] of the objects, worst mean first."""
    rows = results.objects
    rows = rows[rows["status"] == "ok"]
    wide = rows.pivot_table(index=["dataset", "object"], columns="method", values="dsc")
    wide = wide.reindex(columns=list(results.methods_in_table_order))
    order = judged(results.objects, judges(results)).sort_values("mean", kind="stable")
    every = max(-(-len(order) // MOST_POINTS), 1)
    found: list[list[Any]] = []
    for place, (dataset, name) in enumerate(zip(order["dataset"], order["object"], strict=True)):
        if (dataset, name) in wide.index and (place % every == 0 or f"{dataset}/{name}" in keys):
            scores = wide.loc[(dataset, name)]
            shown = (None if is_missing(s) else round(float(s), 3) for s in scores)
            found.append([dataset, name, *shown])
    return found


def _niivue() -> dict[str, str]:
    """Return the 3D viewer's script, as gzip in base64, with its licences."""
    packed = gzip.compress((ASSETS / NIIVUE).read_bytes(), compresslevel=9, mtime=0)
    text = base64.b64encode(packed).decode("ascii")
    return {
        "niivue": text,
        "niivue_megabytes": f"{len(text) / 1e6:.1f}",
        "niivue_licences": (ASSETS / "LICENSES.txt").read_text(encoding="utf-8"),
    }
