"""Phantoms: generated datasets whose truth is known. Composed anatomical scenes, then the physics
of a modality; what trains the shipped weights is another generator.

Nothing heavy is imported before `write` is called.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from benchmark.errors import UserError, unknown_name

if TYPE_CHECKING:
    from numpy.random import Generator

    from benchmark.phantoms.scan import Patient

VERSION = 1
"""To be raised whenever any recipe gives other voxels."""


class Recipe(NamedTuple):
    """``maker``: what makes a patient of random numbers, module:function; ``patient``: its name."""

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


def generator(seed: int, name: str) -> Generator:
    """Random numbers of one patient: they depend on no other patient and not on their number."""
    from numpy.random import default_rng

    return default_rng([seed, crc32(name.encode())])


def make(recipe: str, number: int, seed: int) -> tuple[str, Patient]:
    """Name and content of patient ``number`` (from 1); `UserError` if there is no such recipe."""
    if recipe not in RECIPES:
        raise UserError(unknown_name("phantom recipe", recipe, RECIPES))
    module, function = RECIPES[recipe].maker.split(":")
    name = RECIPES[recipe].patient.format(number)
    maker = getattr(import_module(f"{__name__}.{module}"), function)
    return name, maker(generator(seed, name))


def write(recipe: str, scans: int, seed: int, root: Path) -> int:
    """Write ``scans`` patients below ``root``: NIfTI files, and ``cohort.csv`` where they have one.

    Returns the number of files. The same arguments give the same files, byte for byte.
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

        from benchmark.files import atomic

        with atomic(root / "cohort.csv") as path:
            pd.DataFrame(rows).to_csv(path, index=False)
        files += 1
    return files
