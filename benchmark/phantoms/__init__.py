"""Phantoms: synthetic datasets with known ground truth.

Each recipe composes an anatomical scene and simulates the physics of a modality. The shipped
weights are trained on shapes from a different generator.

Nothing heavy is imported before `write` is called.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from benchmark.errors import UserError, unknown_name

if TYPE_CHECKING:
    from numpy.random import Generator

    from benchmark.phantoms.scan import Patient

VERSION = 1
"""Version of the generator; increase it whenever a recipe yields different voxels."""


class Recipe(NamedTuple):
    """How the patients of a phantom dataset are generated and named.

    ``maker`` is the function that makes a patient from a random generator, as ``module:function``
    in this package; ``patient`` is the format string of a patient's name.
    """

    maker: str
    patient: str


RECIPES = {
    "ct-organs": Recipe("ct:organs", "p01_{:02d}"),
    "ct-liver-tumours": Recipe("ct:liver_tumours", "p02_{:02d}"),
    "ct-lung-tumours": Recipe("ct:lung_tumours", "p03_{:02d}"),
    "ct-low-contrast": Recipe("ct:low_contrast", "p04_{:02d}"),
    "ct-vessels": Recipe("ct:vessels", "p05_{:02d}"),
    "mr-ring-tumours": Recipe("mr:ring_tumours", "p06_{:02d}"),
    "mr-glioma": Recipe("mr:glioma", "p07_{:02d}"),
    "mr-heart": Recipe("mr:short_axis", "p08_{:02d}"),
    "pet-ct": Recipe("pet:chest_tumours", "p09_{:02d}"),
    "srx-glomeruli": Recipe("srx:glomeruli", "p10_{:02d}"),
    "cohort-volume": Recipe("cohort:hazard_follows_volume", "pt{:02d}"),
    "cohort-null": Recipe("cohort:hazard_follows_nothing", "pt{:02d}"),
}


def generator(seed: int, name: str) -> "Generator":
    """Return the random generator of one patient, independent of all other patients."""
    from numpy.random import default_rng

    return default_rng([seed, crc32(name.encode())])


def make(recipe: str, number: int, seed: int) -> "tuple[str, Patient]":
    """Return the name and the content of patient ``number``, counted from 1.

    Raises `UserError` for an unknown recipe.
    """
    if recipe not in RECIPES:
        raise UserError(unknown_name("phantom recipe", recipe, RECIPES))
    module, function = RECIPES[recipe].maker.split(":")
    name = RECIPES[recipe].patient.format(number)
    maker = getattr(import_module(f"{__name__}.{module}"), function)
    return name, maker(generator(seed, name))


def write(recipe: str, scans: int, seed: int, root: Path) -> int:
    """Write ``scans`` patients below ``root`` as NIfTI files, with ``cohort.csv`` for a cohort.

    Returns the number of files written. The same arguments give byte-identical files.
    """
    files = 0
    rows = []
    for number in range(1, scans + 1):
        name, patient = make(recipe, number, seed)
        names = {suffix: name + suffix for suffix in patient.scans}
        files += sum(scan.save(root, names[key]) for key, scan in patient.scans.items())
        if patient.record:
            links = {f"{suffix.strip('_')}_scan": full for suffix, full in names.items()}
            rows.append({"patient": name, **links, **patient.record})
    if rows:
        import pandas as pd

        from benchmark.storage.tables import write_csv

        write_csv(pd.DataFrame(rows), root / "cohort.csv")
        files += 1
    return files
