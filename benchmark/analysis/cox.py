"""Cox proportional hazards models, fitted by lifelines, with a test of proportional hazards."""

import warnings
from typing import Any

import numpy as np
import pandas as pd


def fit(table: pd.DataFrame, tail: float) -> list[dict[str, Any]]:
    """Regress ``time`` and ``event`` on all other columns; return one row per term, in their order.

    ``tail`` is the share of the distribution beyond each end of an interval. ``ph_p`` is the P
    value of the test of scaled Schoenfeld residuals against the ranks of time; a small one is
    evidence against proportional hazards. Rows with missing values are dropped. If the model
    cannot be fitted, the rows contain the ``reason`` instead of numbers.
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
            message = str(error).strip().partition("\n")[0]
            reason = f"the model did not converge ({type(error).__name__}: {message:.80})"
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
