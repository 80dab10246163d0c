"""Which prompt each method is given, and what it costs a person to make."""

from typing import TYPE_CHECKING

from reports.formatting import NONE, is_missing

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.collecting.study_record import MethodRecord
    from reports.results import Results

TOLD = {
    "box2d": "a box on one slice",
    "mask2d": "an outline on one slice",
    "box3d": "a 3D box",
    "structure": "the name of the structure",
}
_COSTS = ("views", "clicks", "clicks_low", "clicks_high")
HEADINGS = ("Method", "Prompt", "Given about an object", "Views", "Clicks")
NOTES = (
    "Views: those of the scan that a person looks at. Clicks: corners to set, the median over the "
    "objects with quartiles in brackets; for an outline, the corners of the polygon that follows "
    "it to within one voxel.",
    "Methods with the same prompt were given the same for each object, so their rows can be "
    "compared directly. A difference between kinds of prompt is one of method and prompt together.",
)


def describe_prompt(entry: "MethodRecord") -> str:
    """Describe the prompt of a method in words."""
    text = TOLD.get(entry.prompt, entry.prompt)
    return f"{text}, and the reference itself" if entry.sees_reference else text


def table(results: "Results") -> "pd.DataFrame":
    """Return one row per method, grouped by prompt, prompts with the fewest clicks first.

    ``views`` and the median and quartiles of ``clicks`` are those of the run record; they are
    missing for prompts without a cost.
    """
    import pandas as pd

    costs = results.record.get("prompts", {})
    rows = []
    for method in results.methods_in_table_order:
        entry = results.method_record(method)
        kind = entry.prompt
        cost = costs.get(kind, {})
        numbers = {name: cost.get(name) for name in _COSTS}
        rows.append({"method": method, "prompt": kind, "told": describe_prompt(entry), **numbers})
    found = pd.DataFrame(rows, columns=["method", "prompt", "told", *_COSTS])
    place = {kind: i for i, kind in enumerate(sorted(costs, key=lambda k: costs[k]["clicks"]))}
    order = found["prompt"].map(lambda kind: place.get(kind, len(place)))
    return found.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def printed(numbers: "pd.DataFrame") -> list[list[str]]:
    """Return the formatted cells of the table, one list per row."""
    rows = []
    for row in numbers.to_dict("records"):
        views, median, low, high = (row[name] for name in _COSTS)
        clicks = _number(median)
        if low != high and clicks != NONE:
            clicks += f" ({_number(low)} to {_number(high)})"
        about = (str(row[name]) for name in ("method", "prompt", "told"))
        rows.append([*about, _number(views), clicks])
    return rows


def _number(value: float | None) -> str:
    return NONE if is_missing(value) else f"{value:g}"
