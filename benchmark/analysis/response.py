"""Response to treatment: RECIST 1.1 by diameters, and its counterpart by volumes.

In RECIST 1.1 (Eisenhauer et al. 2009, doi 10.1016/j.ejca.2008.10.026), a decrease of the sum of
diameters by at least 30 % is a partial response; an increase by at least 20 % and 5 mm is
progression. The thresholds for volumes, -65.7 % and +72.8 %, are those of a ball whose diameter
changes by as much. Since there are only two scans, the baseline serves as the smallest sum on
study.
"""

import pandas as pd

CLASSES = ("complete response", "partial response", "stable disease", "progressive disease")

PARTIAL, PROGRESSION, LEAST_MM = -0.30, 0.20, 5.0


def recist(pre: "pd.Series[float]", post: "pd.Series[float]") -> "pd.Series[str]":
    """Classify by sums of diameters in mm; "" if one is missing or there was no lesion before."""
    return _classes(pre, post, PARTIAL, PROGRESSION, LEAST_MM)


def volumetric(pre: "pd.Series[float]", post: "pd.Series[float]") -> "pd.Series[str]":
    """Classify by volumes; "" if one is missing or there was no lesion before."""
    return _classes(pre, post, (1 + PARTIAL) ** 3 - 1, (1 + PROGRESSION) ** 3 - 1, 0.0)


def _classes(
    pre: "pd.Series[float]", post: "pd.Series[float]", fall: float, rise: float, least: float
) -> "pd.Series[str]":
    change = ((post - pre) / pre.where(pre > 0)).round(12)
    risen = (change >= rise) & ((post - pre).round(12) >= least)
    found = pd.Series("stable disease", index=pre.index, dtype=object)
    found = found.mask(change <= fall, "partial response").mask(risen, "progressive disease")
    return found.mask(post == 0, "complete response").mask(change.isna(), "")
