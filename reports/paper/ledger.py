"""The ledger: each number stated in the paper, the measured one, and whether they agree."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis.ranking import SIGNIFICANT
from reports.paper.measured import Measured, NotAvailableError

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

NUMBERS = Path(__file__).parent / "numbers.csv"

COLUMNS = (
    *("key", "stated", "relation", "unit", "scope", "paper_ref", "ours", "low", "high", "n"),
    *("verdict", "why", "remark"),
)
"""``remark``: where the paper disagrees with itself about the number."""

REPRODUCED, DIFFERS, NOT_HERE = "reproduced", "differs", "not computable here"
WITHIN = "within our interval"
"""Neither reproduced nor shown to differ: a wide interval of ours contains much."""


def make(results: "Results") -> Path:
    """Write ``statistics/ledger.csv`` of a study and return its path."""
    from benchmark.storage.tables import write_csv

    path = results.folder / "statistics" / "ledger.csv"
    write_csv(ledger(results), path)
    return path


def ledger(results: "Results") -> "pd.DataFrame":
    """Return one row per number stated in the paper, with the columns `COLUMNS`."""
    import pandas as pd

    from benchmark.storage.tables import records
    from reports.paper.quantities import evaluate

    rows: list[dict[str, Any]] = []
    for fact in records(read(NUMBERS)):
        about = {key: fact[key] for key in COLUMNS if key in fact}
        try:
            ours = evaluate(str(fact["quantity"]), results)
        except NotAvailableError as why:
            rows.append({**about, "verdict": NOT_HERE, "why": str(why)})
            continue
        verdict, why_so = judge(str(fact["relation"]), str(fact["stated"]), ours)
        why_so = "; ".join(part for part in (why_so, ours.note) if part)
        numbers = {"ours": ours.value, "low": ours.low, "high": ours.high, "n": ours.n}
        rows.append({**about, **numbers, "verdict": verdict, "why": why_so})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def read(path: Path) -> "pd.DataFrame":
    """Read ``numbers.csv`` or a ledger; ``stated`` stays text, to keep the paper's decimals."""
    from benchmark.analysis import frames

    return frames.read_csv(path, (*frames.NAME_COLUMNS, "stated"))


def judge(relation: str, stated: str, ours: Measured) -> tuple[str, str]:
    """Return the verdict on a stated number and its reason.

    A number or count is reproduced if ours, rounded to the same decimals, equals it; a bound if
    ours satisfies it; a P value if ours is on the same side of 0.05. `WITHIN` is a number that
    differs from ours but lies in our interval, which reflects the spread between units.
    If the differences behind a P value have the opposite sign, the finding differs, whatever P is.
    """
    number = float(stated)
    if ours.opposite_sign:
        return DIFFERS, f"the other way: {ours.opposite_sign}"
    if relation in ("<", "<=", ">"):
        holds = {"<": ours.value < number, "<=": ours.value <= number, ">": ours.value > number}
        return (REPRODUCED if holds[relation] else DIFFERS), f"stated as {relation} {stated}"
    if relation == "P":
        same = (ours.value < SIGNIFICANT) == (number < SIGNIFICANT)
        side = "the same side" if same else "the other side"
        return (REPRODUCED if same else DIFFERS), f"{side} of P = {SIGNIFICANT}"
    decimals = len(stated.partition(".")[2])
    if abs(round(ours.value, decimals) - number) < 10.0 ** -(decimals + 3):
        return REPRODUCED, "equal as rounded"
    if relation == "=" and ours.low <= number <= ours.high:
        return WITHIN, f"our interval is of the spread between {ours.over}"
    return DIFFERS, "outside our interval" if ours.low == ours.low else "not equal"
