"""The factor from activity to SUV, by hand for each variant of DICOM headers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.transforms import suv
from benchmark.transforms.raster import Raster
from tests.benchmark.prepare.tree import Tree

WEIGHT, DOSE, HALF_LIFE = 72.0, 360e6, 6588.0


def raster(tmp_path: Path, *, dose: dict[str, Any] | None = None, **header: Any) -> Raster:
    """A PET series of 2020-01-01, 13:00, injected at 12:00, with other values where given."""
    item = Dataset()
    told = {"RadionuclideTotalDose": DOSE, "RadionuclideHalfLife": HALF_LIFE}
    for name, value in {**told, "RadiopharmaceuticalStartTime": "120000", **(dose or {})}.items():
        if value is not None:
            setattr(item, name, value)
    values = {
        "Units": "BQML",
        "CorrectedImage": ["ATTN", "DECY"],
        "DecayCorrection": "START",
        "PatientWeight": WEIGHT,
        "SeriesDate": "20200101",
        "SeriesTime": "130000.250",
        "AcquisitionDate": "20200101",
        "AcquisitionTime": "130000",
        "RadiopharmaceuticalInformationSequence": [item],
        **header,
    }
    philips = values.pop("philips", {})
    array = np.zeros((3, 4, 5), dtype=np.uint16)
    Tree(tmp_path).series("pt", array, patient="p", modality="PT", **values)
    for path in (tmp_path / "pt").iterdir() if philips else ():
        stored = dcmread(path)
        block = stored.private_block(0x7053, "Philips PET Private Group", create=True)
        for element, value in philips.items():
            block.add_new(element, "DS", value)
        stored.save_as(path)
    return Raster(tmp_path / "pt", array[None], Geometry((5, 4, 3), (1.0, 1.0, 1.0)))


def decayed(seconds: float) -> float:
    return DOSE * float(0.5 ** (seconds / HALF_LIFE))


CASES: list[tuple[str, dict[str, Any], float]] = [
    ("an hour", {}, WEIGHT * 1000 / decayed(3600)),
    ("corrected to the injection", {"DecayCorrection": "ADMIN"}, WEIGHT * 1000 / DOSE),
    ("counts", {"Units": "CNTS", "philips": {0: "0.00055", 9: "2"}}, 0.00055),
    (
        "counts with a factor to activity alone",
        {"Units": "CNTS", "philips": {0: "0", 9: "1.5"}},
        1.5 * WEIGHT * 1000 / decayed(3600),
    ),
    ("SUV already", {"Units": "GML"}, 1.0),
    (
        "a series written anew the day after",
        {"SeriesDate": "20200102", "dose": {"RadiopharmaceuticalStartDateTime": "20200101115000"}},
        WEIGHT * 1000 / decayed(4200),
    ),
    (
        "over midnight",
        {
            "SeriesTime": "001000",
            "AcquisitionTime": "001000",
            "dose": {"RadiopharmaceuticalStartDateTime": "20191231233000.00"},
        },
        WEIGHT * 1000 / decayed(2400),
    ),
]


@pytest.mark.parametrize(("header", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_factor(tmp_path: Path, header: dict[str, Any], expected: float) -> None:
    assert suv.factor(raster(tmp_path, **header)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"Units": "PROPCPS"}, "unit 'PROPCPS'"),
        ({"Units": "CNTS"}, "7053"),
        ({"Units": "CNTS", "philips": {0: "0", 9: ""}}, "7053"),
        ({"CorrectedImage": ["ATTN"]}, "corrections"),
        ({"DecayCorrection": "NONE"}, "decay correction 'NONE'"),
        ({"PatientWeight": 0}, "weight 0"),
        ({"dose": {"RadionuclideTotalDose": None}}, "RadionuclideTotalDose"),
        ({"dose": {"RadiopharmaceuticalStartTime": "140000"}}, "from injection to scan"),
    ],
)
def test_what_the_headers_do_not_tell(tmp_path: Path, header: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"SUV cannot be computed: .*{told}"):
        suv.factor(raster(tmp_path, **header))


def test_the_slices_are_those_that_are_read(tmp_path: Path) -> None:
    pet = raster(tmp_path)
    expected = suv.factor(pet)
    for path in (tmp_path / "pt").iterdir():
        path.rename(path.with_suffix(".ima"))
    (tmp_path / "pt" / "LICENSE").write_text("CC BY 4.0")
    (tmp_path / "pt" / "more").mkdir()
    assert suv.factor(pet) == expected
