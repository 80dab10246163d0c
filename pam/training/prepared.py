"""Cases from prepared datasets of the catalogue: their tables of images, objects and references."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from benchmark.errors import UserError
from benchmark.masks import Mask
from benchmark.settings import Settings
from pam.preprocess import Scan
from pam.training.cases import Case

if TYPE_CHECKING:
    from benchmark import fitting


class Prepared(Settings):
    """``datasets``: their ids; they have to be prepared below ``folder`` (a study that names them
    does that). ``scans``: the ids of the scans to use, by default all. ``split``: seed of the split
    by patient whose training cases alone are used (`benchmark.splits`), by default all cases: that
    of a study is the study's, so that what it holds back is held back here too."""

    tag: ClassVar = "prepared"
    kind: Literal["prepared"]
    datasets: tuple[str, ...] = Field(min_length=1)
    folder: str = "data"
    scans: tuple[str, ...] | None = None
    split: int | None = None

    def case(self, number: int) -> Case:
        """Give a case: each round of numbers goes through all scans once, in an order of its own.

        Raises `UserError` for a dataset that is not prepared, or an image that cannot be read.
        """
        from benchmark import volume

        rows = self._scans
        turn, place = divmod(number, len(rows))
        order = np.random.default_rng([turn, len(rows)]).permutation(len(rows))
        image, references, axis = rows[int(order[place])]
        paths = [Path(path) for path in image["images"]]
        read = volume.read(paths, modality=image["modality"], channels=list(image["channels"]))
        across = [mm for a, mm in enumerate(read.spacing) if a != axis]
        scan = Scan(
            np.moveaxis(read.grey, axis, 0),
            (read.spacing[axis], across[0], across[1]),
            read.modality,
        )
        masks = [Mask.from_row(row, read.shape) for row in references]
        return Case(scan, tuple(_turned(mask, axis) for mask in masks if mask.voxels))

    @cached_property
    def _scans(self) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]], int]]:
        """A row a scan: its image, its reference masks, the axis of its view."""
        sources = [(dataset, self._rows(dataset, "images")) for dataset in self.datasets]
        held_back = self._held_back([images for _, images in sources])
        found: list[tuple[Mapping[str, Any], list[Mapping[str, Any]], int]] = []
        for dataset, images in sources:
            axes = {row["scan"]: int(row["axis"]) for row in self._rows(dataset, "objects")}
            masks: dict[str, list[Mapping[str, Any]]] = {}
            for row in self._rows(dataset, "reference"):
                if row["object"] is not None:
                    masks.setdefault(row["scan"], []).append(row)
            for row in images:
                wanted = self.scans is None or row["scan"] in self.scans
                if wanted and row["scan"] in masks and _patient(row) not in held_back:
                    found.append((row, masks[row["scan"]], axes[row["scan"]]))
        if not found:
            raise UserError(
                f"No scan with an object among those of {', '.join(self.datasets)} below "
                f"{self.folder}. Check data.scans and data.split of the recipe, and what preparing "
                "set aside."
            )
        return found

    def _rows(self, dataset: str, name: str) -> list[dict[str, Any]]:
        """Rows of a table of a dataset."""
        from benchmark.tables import read_table, records

        path = Path(self.folder) / dataset / f"{name}.parquet"
        if not path.exists():
            raise UserError(
                f"{dataset} is not prepared: there is no {path}. Run a study that names "
                f"it, with `--until prepare`, or set data.folder of the recipe."
            )
        return records(read_table(path))

    def _held_back(self, datasets: Sequence[list[dict[str, Any]]]) -> set[tuple[str, str]]:
        """Patients that one of the datasets, given by its images, holds back."""
        from benchmark.splits import split

        if self.split is None:
            return set()
        divided = [(images, split(images, self.split).test) for images in datasets]
        return {_patient(row) for images, test in divided for row in images if row["scan"] in test}


def write_cases(cases: "Sequence[fitting.Case]", folder: Path) -> None:
    """Write the tables of ``cases`` below ``folder``, as `Prepared` reads them: of these alone."""
    from benchmark import objects, prepare
    from benchmark.tables import write_table

    for dataset in dict.fromkeys(case.dataset for case in cases):
        mine = [case for case in cases if case.dataset == dataset]
        for name, schema, rows in (
            ("images", prepare.IMAGES, [case.image for case in mine]),
            ("objects", objects.SCHEMA, [row for case in mine for row in case.objects]),
            ("reference", objects.REFERENCE_SCHEMA, [r for case in mine for r in case.reference]),
        ):
            write_table(rows, schema, folder / dataset / f"{name}.parquet" / "0.parquet")


def _patient(image: Mapping[str, Any]) -> tuple[str, str]:
    """Source collection of an image, and id of its patient in it."""
    return str(image["collection"]), str(image["patient"])


def _turned(mask: Mask, axis: int) -> Mask:
    """Give a mask with ``axis`` of its grid first."""
    if axis == 0:
        return mask
    order = [axis, *(a for a in range(3) if a != axis)]
    start, grid = ([values[a] for a in order] for values in (mask.box[::2], mask.shape))
    return Mask.of(
        mask.crop.transpose(order),
        offset=(start[0], start[1], start[2]),
        shape=(grid[0], grid[1], grid[2]),
    )
