"""Cases from prepared datasets of the catalogue: their tables of images, objects and references."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np
from pydantic import Field

from benchmark.errors import UserError
from benchmark.masks import BOX_FIELDS, Mask, Shape
from benchmark.settings import Settings
from pam.preprocess import Scan
from pam.training.cases import Case

if TYPE_CHECKING:
    from benchmark.learning import fitting

_IMAGE = [
    *("dataset", "scan", "patient", "collection", "modality", "channels", "images", "orientation"),
    *(f"{what}_{axis}" for what in ("size", "spacing") for axis in "zyx"),
]
_REFERENCE = ["object", *BOX_FIELDS, "bits"]


class Prepared(Settings):
    """Cases of prepared datasets.

    ``datasets``: their ids; each must have been prepared below ``folder`` (by a study that names
        it).
    ``scans``: ids of the scans to use, by default all.
    ``split``: seed of a split by patient (`benchmark.learning.splits`) of which only the training
    cases are
        used; by default all cases. With the seed of a study, the cases that the study holds back
        are held back here too.
    """

    tag: ClassVar = "prepared"
    kind: Literal["prepared"]
    datasets: tuple[str, ...] = Field(min_length=1)
    folder: str = "data"
    scans: tuple[str, ...] | None = None
    split: int | None = None

    def case(self, number: int) -> Case:
        """Return case ``number``; each round of numbers visits all scans once, in a new order.

        Raises `UserError` as `check` does, or for an image that cannot be read.
        """
        from benchmark import volume
        from benchmark.storage.tables import read_arrow

        scans = self._scans
        turn, place = divmod(number, len(scans))
        order = np.random.default_rng([turn, len(scans)]).permutation(len(scans))
        image, shard, axis = scans[int(order[place])]
        read = volume.read_row(image)
        # Read per case: all masks of all datasets would fill the memory of each worker process.
        rows = read_arrow(shard, _REFERENCE, [("scan", "==", image["scan"])]).to_pylist()
        kept = [row for row in rows if row["object"] is not None and row["z0"] < row["z1"]]
        return Case(Scan.along(read, axis), Stored(kept, read.shape, axis))

    def check(self) -> None:
        """Raise `UserError` for a dataset that is not prepared, or if no scan has an object."""
        _ = self._scans

    @cached_property
    def _scans(self) -> list[tuple[Mapping[str, Any], Path, int]]:
        """Per scan: its row of the images, the file of its masks, the axis of its view."""
        from benchmark.storage.tables import read_arrow

        sources = [
            (dataset, read_arrow(self._table(dataset, "images"), _IMAGE).to_pylist())
            for dataset in self.datasets
        ]
        held_back = self._held_back([images for _, images in sources])
        found: list[tuple[Mapping[str, Any], Path, int]] = []
        for dataset, images in sources:
            places = self._places(dataset)
            for row in images:
                wanted = self.scans is None or row["scan"] in self.scans
                if wanted and row["scan"] in places and _patient(row) not in held_back:
                    found.append((row, *places[row["scan"]]))
        if not found:
            raise UserError(
                f"No scan with an object among those of {', '.join(self.datasets)} below "
                f"{self.folder}. Check data.scans and data.split of the recipe, and what preparing "
                "set aside."
            )
        return found

    def _places(self, dataset: str) -> dict[str, tuple[Path, int]]:
        """Map each scan with objects to the file of its masks and the axis of its view."""
        from benchmark.storage.tables import parts, read_arrow

        reference = self._table(dataset, "reference")
        return {
            row["scan"]: (reference / shard.name, row["axis"])
            for shard in parts(self._table(dataset, "objects"))
            for row in read_arrow(shard, ["scan", "axis"]).to_pylist()
        }

    def _table(self, dataset: str, name: str) -> Path:
        """Return the folder of a dataset's table, which has a file per shard."""
        path = Path(self.folder) / dataset / f"{name}.parquet"
        if not path.exists():
            raise UserError(
                f"{dataset} is not prepared: there is no {path}. Run a study that names "
                f"it, with `--until prepare`, or set data.folder of the recipe."
            )
        return path

    def _held_back(self, datasets: Sequence[list[dict[str, Any]]]) -> set[tuple[str, str]]:
        """Return the patients that are held back in any of the datasets, given as their images."""
        from benchmark.learning.splits import split

        if self.split is None:
            return set()
        divided = [(images, split(images, self.split).test) for images in datasets]
        return {_patient(row) for images, test in divided for row in images if row["scan"] in test}


class Stored(Sequence[Mask]):
    """Masks of a scan as rows of a table, each decoded on access."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], shape: Shape, axis: int) -> None:
        """Store rows of a grid of ``shape`` (z, y, x); masks are returned with ``axis`` first."""
        self._rows, self._shape, self._axis = rows, shape, axis

    def __len__(self) -> int:
        """Number of masks."""
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Mask: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mask]: ...
    def __getitem__(self, index: int | slice) -> Mask | Sequence[Mask]:
        """Decode a mask."""
        if isinstance(index, slice):
            return Stored(self._rows[index], self._shape, self._axis)
        return _turned(Mask.from_row(self._rows[index], self._shape), self._axis)


def write_cases(cases: "Sequence[fitting.Case]", folder: Path) -> None:
    """Write the tables of ``cases`` alone below ``folder``, as `Prepared` reads them."""
    from benchmark import objects, prepare
    from benchmark.storage.tables import write_table

    for dataset in dict.fromkeys(case.dataset for case in cases):
        mine = [case for case in cases if case.dataset == dataset]
        for name, schema, rows in (
            ("images", prepare.IMAGE_SCHEMA, [case.image for case in mine]),
            ("objects", objects.SCHEMA, [row for case in mine for row in case.objects]),
            ("reference", objects.REFERENCE_SCHEMA, [r for case in mine for r in case.reference]),
        ):
            write_table(rows, schema, folder / dataset / f"{name}.parquet" / "0.parquet")


def _patient(image: Mapping[str, Any]) -> tuple[str, str]:
    """Return an image's source collection and the patient's id in it."""
    return str(image["collection"]), str(image["patient"])


def _turned(mask: Mask, axis: int) -> Mask:
    """Return a mask with ``axis`` of its grid moved to the front."""
    if axis == 0:
        return mask
    order = [axis, *(a for a in range(3) if a != axis)]
    start, grid = ([values[a] for a in order] for values in (mask.box[::2], mask.shape))
    return Mask.of(
        mask.crop.transpose(order),
        offset=(start[0], start[1], start[2]),
        shape=(grid[0], grid[1], grid[2]),
    )
