"""Classes of response to treatment: RECIST 1.1 by diameters, and their counterpart by volume.

RECIST 1.1 (Eisenhauer et al. 2009, doi 10.1016/j.ejca.2008.10.026): partial response from a fall of
the sum of diameters by 30 %, progression from a rise by 20 % and 5 mm. A ball whose diameter does
so changes its volume by -65.7 % and +72.8 %, which are the bounds for volumes. The baseline stands
for the smallest sum on study, for there are but two scans.
"""

import pandas as pd

CLASSES = ("complete response", "partial response", "stable disease", "progressive disease")

PARTIAL, PROGRESSION, LEAST_MM = -0.30, 0.20, 5.0


def recist(pre: "pd.Series[float]", post: "pd.Series[float]") -> "pd.Series[str]":
    """Classes by sums of diameters in mm; "" where one is missing or there was no lesion."""
    return _classes(pre, post, PARTIAL, PROGRESSION, LEAST_MM)


def volumetric(pre: "pd.Series[float]", post: "pd.Series[float]") -> "pd.Series[str]":
    """Classes by volumes; "" where one is missing or there was no lesion."""
    return _classes(pre, post, (1 + PARTIAL) ** 3 - 1, (1 + PROGRESSION) ** 3 - 1, 0.0)


def _classes(
    pre: "pd.Series[float]", post: "pd.Series[float]", fall: float, rise: float, least: float
) -> "pd.Series[str]":
    change = ((post - pre) / pre.where(pre > 0)).round(12)
    risen = (change >= rise) & ((post - pre).round(12) >= least)
    found = pd.Series("stable disease", index=pre.index, dtype=object)
    found = found.mask(change <= fall, "partial response").mask(risen, "progressive disease")
    return found.mask(post == 0, "complete response").mask(change.isna(), "")
