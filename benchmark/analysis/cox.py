"""Cox's model by lifelines, with the check of proportional hazards; a reason where it fails."""

import warnings
from typing import Any

import numpy as np
import pandas as pd


def fit(table: pd.DataFrame, tail: float) -> list[dict[str, Any]]:
    """Fit ``time`` and ``event`` on the other columns; a row a term, that of the first one first.

    ``ph_p``: P of the test by scaled Schoenfeld residuals over the ranks of time; a small one
    speaks against proportional hazards. Rows with a missing value are left out.
    """
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError
    from lifelines.statistics import proportional_hazard_test

    known = table.dropna()
    terms = [str(c) for c in table if c not in ("time", "event")]
    base = {"n": len(known), "events": int(known["event"].sum())}
    if reason := _why_not(known, terms):
        return [{"term": term, **base, "reason": reason} for term in terms]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model = CoxPHFitter(alpha=2 * tail).fit(known.astype(float), "time", "event")
            check = proportional_hazard_test(model, known.astype(float), time_transform="rank")
        except (ConvergenceError, Warning) as error:
            told = str(error).strip().partition("\n")[0]
            reason = f"the model did not converge ({type(error).__name__}: {told:.80})"
            return [{"term": term, **base, "reason": reason} for term in terms]
    ends = np.exp(model.confidence_intervals_)
    schoenfeld = np.atleast_1d(check.p_value)
    return [
        {
            **{"term": term, **base},
            "hazard_ratio": float(model.hazard_ratios_[term]),
            **{"low": float(ends.loc[term].iloc[0]), "high": float(ends.loc[term].iloc[1])},
            "z": float(model.summary.at[term, "z"]),
            "p": float(model.summary.at[term, "p"]),
            "ph_p": float(schoenfeld[list(model.params_.index).index(term)]),
            "reason": "",
        }
        for term in terms
    ]


def _why_not(known: pd.DataFrame, terms: list[str]) -> str:
    if not known["event"].any():
        return "no event"
    if len(known) <= len(terms) + 1:
        return f"n = {len(known)}: too few for {len(terms)} terms"
    flat = [term for term in terms if np.ptp(known[term].to_numpy(dtype=np.float64)) == 0]
    return f"{flat[0]} does not differ between patients" if flat else ""
