"""Selection of the objects in the qualitative panels."""

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from reports.cases.choice import OBJECT_KEY
from reports.cases.loading import Case, load_case

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

_MARGIN_MM = 12.0


def choose(
    objects: "pd.DataFrame", method: str | None, count: int, shown: set[str]
) -> "pd.DataFrame":
    """Choose the ``count`` best, median and worst objects by the DSC of ``method``.

    ``objects`` is `Results.objects`; ``shown`` names the datasets whose images may be shown. The
    column ``rank`` of the result is best, median or worst. No object is chosen twice; ties are
    broken by dataset, scan and object.
    """
    rows = objects[(objects["method"] == method) & objects["dataset"].isin(list(shown))]
    rows = rows[(rows["status"] == "ok") & rows["dsc"].notna()]
    rows = rows.sort_values(["dsc", *OBJECT_KEY], ascending=[False, True, True, True])
    middle = max((len(rows) - count) // 2, 0)
    wanted = {
        "best": range(count),
        "worst": range(len(rows) - count, len(rows)),
        "median": range(middle, middle + count),
    }
    ranks: dict[int, str] = {}
    for rank, places in wanted.items():
        for place in places:
            if 0 <= place < len(rows):
                ranks.setdefault(place, rank)
    chosen = rows.iloc[sorted(ranks)].copy()
    chosen["rank"] = [ranks[place] for place in sorted(ranks)]
    return chosen


def load(results: "Results") -> list[Case]:
    """Load the cases of a study's panels.

    A case whose files cannot be read is left out with a message, so that the report is still made.
    """
    shown = results.datasets_with_images(include_restricted=results.report_settings.private_images)
    chosen = choose(results.objects, results.panel_method, results.report_settings.panels, shown)
    cases = []
    for row in chosen.to_dict("records"):
        try:
            case = load_case(results, row, _MARGIN_MM)
        except (UserError, OSError) as error:
            print(f"Panel of {row['object']} left out: {error}")
        else:
            cases.append(replace(case, rank=str(row["rank"])))
    return cases
