"""Standardised uptake value by body weight (SUVbw) of a DICOM PET series.

Follows the pseudo-code of the QIBA FDG-PET/CT profile (SUV calculation, "vendor-neutral"): activity
times body weight over the dose, decayed to the reference time of the decay correction. Philips
stores counts with two private factors: one to SUV and, where that is missing, one to activity.
"""

from datetime import datetime, timedelta
from typing import Any

from benchmark.errors import UserError
from benchmark.transforms.raster import Raster

_TO_SUV, _TO_ACTIVITY = 0x70531000, 0x70531009
"""Private tags of Philips: factors from (rescaled) counts to SUV, and to Bq/ml."""


def factor(raster: Raster) -> float:
    """Return the factor from the stored unit (Bq/ml, or counts for Philips) to SUV in g/ml.

    Raises `UserError` if the headers do not suffice to compute it.
    """
    import pydicom

    from benchmark.image_io.dicomseries import files_of_series  # slow: loads ITK

    files = files_of_series(raster.path)
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    try:
        return _factor(headers)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(
            f"{raster.path}: SUV cannot be computed: {error}. Expected unit, dose, half-life, "
            "weight and times of a PET series. Likely cause: headers emptied to make them "
            "anonymous. Next step: leave the scan out, or use the published SUV images."
        ) from None


def _factor(headers: list[Any]) -> float:
    first = headers[0]
    unit = str(first.Units)
    if unit == "GML":
        return 1.0
    becquerels = 1.0
    if unit == "CNTS":
        if (to_suv := _positive(first, _TO_SUV)) is not None:
            return to_suv
        if (to_activity := _positive(first, _TO_ACTIVITY)) is None:
            raise ValueError("counts without a positive factor in (7053,1000) or (7053,1009)")
        becquerels = to_activity
    elif unit != "BQML":
        raise ValueError(f"unit {unit!r}")
    if not {"ATTN", "DECY"} <= set(first.CorrectedImage):
        raise ValueError(f"corrections {list(first.CorrectedImage)}")
    dose = first.RadiopharmaceuticalInformationSequence[0]
    activity = float(dose.RadionuclideTotalDose)
    if first.DecayCorrection == "START":
        elapsed = _start(headers) - _injection(dose, first)
        if not timedelta() <= elapsed < timedelta(days=1):
            raise ValueError(f"{elapsed} from injection to scan")
        activity *= 2 ** (-elapsed.total_seconds() / float(dose.RadionuclideHalfLife))
    elif first.DecayCorrection != "ADMIN":
        raise ValueError(f"decay correction {first.DecayCorrection!r}")
    weight = float(first.PatientWeight) * 1000
    if not (weight > 0 and activity > 0):
        raise ValueError(f"weight {weight} g, activity {activity} Bq")
    return becquerels * weight / activity


def _positive(header: Any, tag: int) -> float | None:
    """Return the value of a private field; None where it is absent, empty or zero (not known)."""
    value = header[tag].value if tag in header else None
    return float(value) if value and float(value) > 0 else None


def _start(headers: list[Any]) -> datetime:
    """Return the start of the scan: the series time, unless rewritten after the acquisition."""
    series = _time(headers[0].SeriesDate, headers[0].SeriesTime)
    acquired = min(_time(h.AcquisitionDate, h.AcquisitionTime) for h in headers)
    return min(series, acquired)


def _injection(dose: Any, header: Any) -> datetime:
    if moment := str(dose.get("RadiopharmaceuticalStartDateTime", "")):
        return _time(moment[:8], moment[8:14])
    return _time(header.SeriesDate, dose.RadiopharmaceuticalStartTime)


def _time(date: object, time: object) -> datetime:
    return datetime.strptime(f"{date}{str(time).partition('.')[0]:0<6}", "%Y%m%d%H%M%S")
