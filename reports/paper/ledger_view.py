"""The ledger as the report shows it: counts, numbers compared, numbers not computable."""

from typing import TYPE_CHECKING, Any

from reports.formatting import NONE, format_p, is_missing
from reports.paper.ledger import DIFFERS, NOT_HERE, REPRODUCED, WITHIN, read

if TYPE_CHECKING:
    from reports.results import Results

_SIGNS = {"<": "< ", "<=": "≤ ", ">": "> "}
_PLAIN_UNITS = {"1", "count", "r"}


def view(results: "Results") -> dict[str, Any]:
    """Return ``counts`` by verdict, rows ``compared`` and ``absent``, and ``remarks``.

    ``remarks`` holds the names of the numbers by what is said of them. Empty without a ledger.
    """
    from benchmark.storage.tables import records

    path = results.folder / "statistics" / "ledger.csv"
    if not path.exists():
        return {}
    found = [(str(row["verdict"]), _row(row)) for row in records(read(path))]
    verdicts = [verdict for verdict, _ in found]
    remarks: dict[str, list[str]] = {}
    for _, row in found:
        remarks.setdefault(row["remark"], []).append(row["name"])
    return {
        "counts": [
            (verdict, verdicts.count(verdict))
            for verdict in (REPRODUCED, WITHIN, DIFFERS, NOT_HERE)
        ],
        "compared": [row for verdict, row in found if verdict != NOT_HERE],
        "absent": [row for verdict, row in found if verdict == NOT_HERE],
        "remarks": [(remark, names) for remark, names in remarks.items() if remark],
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    about = {key: _text(row[key]) for key in ("scope", "paper_ref", "verdict", "why")}
    about["remark"] = _text(row.get("remark"))
    unit = _text(row["unit"])
    unit = "" if unit in _PLAIN_UNITS else unit
    ours, low, high = (_number(row[key], row) for key in ("ours", "low", "high"))
    return {
        "name": str(row["key"]).replace("_", " "),
        "unit": unit,
        "stated": _SIGNS.get(str(row["relation"]), "") + _stated(row),
        "ours": ours,
        "interval": f"{low} to {high}" if NONE not in (low, high) else "",
        "n": "" if is_missing(row["n"]) else f"{row['n']:.0f}",
        **about,
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any, row: dict[str, Any]) -> str:
    """Format with one decimal more than the paper, since equality is judged after rounding."""
    if is_missing(value):
        return NONE
    if str(row["unit"]).split()[0] == "P":
        return format_p(value)
    places = len(_stated(row).partition(".")[2])
    return f"{value:,.{places + bool(places or value % 1)}f}"


def _stated(row: dict[str, Any]) -> str:
    text = str(row["stated"])
    return text if "." in text else f"{int(text):,}"
