"""Predictions made elsewhere: a folder of masks that enters every table as a method of its own."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.errors import UserError
from benchmark.storage.patterns import fill

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume


class External(Adapter):
    """Read label maps, a file per scan, or masks, a file per structure.

    A file that is missing, unreadable or on another grid than its image is a failure of its
    prompts. Nothing is resampled, since that would be a guess.
    """

    info = MethodInfo(
        summary="predictions made elsewhere, read from a folder",
        prompts=("structure",),
        licence="that of the method that made them",
        version=4,
    )

    class Options(Adapter.Options):
        """Options of the files.

        ``files``: pattern of the paths. It contains ``{scan}``, and optionally ``{dataset}``; with
            ``{structure}`` each file is the mask of one structure, under its name in the catalogue
            or in the dataset. ``~`` and environment variables are expanded, and the suffix may be
            omitted.
        ``labels``: value -> structure of the label maps; by default the names of the segments
            (.seg.nrrd), else the values of the dataset.
        """

        files: str = "predictions/{dataset}/{scan}"
        labels: Mapping[int, str] | None = None

        @field_validator("files")
        @classmethod
        def _names_the_scan(cls, value: str) -> str:
            if "{scan}" not in value:
                raise ValueError(f"the pattern {value!r} lacks {{scan}}")
            return value

    options: Options

    def external_state(self) -> str:
        """Return a fingerprint of the folder."""
        from benchmark.sources.folder import fingerprint

        return fingerprint(self._root)

    def missing_requirement(self) -> str | None:
        """Ask for the folder if it does not exist."""
        if self._root.is_dir():
            return None
        return f"no folder {self._root}; put the predictions there, then run again"

    @property
    def _pattern(self) -> str:
        return os.path.expandvars(self.options.files)

    @property
    def _root(self) -> Path:
        """The folder above the first placeholder."""
        return Path(self._pattern.partition("{")[0] + "x").expanduser().parent

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield the voxels of each structure; a label map is read once for all of them."""
        from benchmark.prompts import StructureName

        maps: dict[Path, Labels] = {}
        for prompt in prompts:
            assert isinstance(prompt, StructureName)
            try:
                path = self._path(volume, prompt.structure)
                if path not in maps:
                    maps.clear()  # with a file per structure, all of them may not fit in memory
                    maps[path] = read(path, volume)
                yield Prediction(self._mask(maps[path], volume, prompt.structure, path))
            except UserError as error:
                yield Prediction(failure=str(error))

    def _path(self, volume: "Volume", structure: str) -> Path:
        names = [structure, *_key_in_dataset(volume.dataset, structure)]
        paths = list(dict.fromkeys(self._named(volume, name) for name in names))
        found = [file for path in paths for file in _files_at(path)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UserError(f"no prediction: there is no file {' or '.join(map(str, paths))}")
        raise UserError(
            f"several predictions: {', '.join(p.name for p in found)} in {paths[0].parent}"
        )

    def _named(self, volume: "Volume", structure: str) -> Path:
        names = {"dataset": volume.dataset, "scan": volume.scan, "structure": structure}
        return Path(fill(self._pattern, names)).expanduser()

    def _mask(
        self, labels: "Labels", volume: "Volume", structure: str, path: Path
    ) -> NDArray[np.bool_]:
        if "{structure}" in self.options.files:
            return np.asarray(np.any(labels.array != 0, axis=0))
        places: list[Place]
        names = self.options.labels
        if names is not None:
            places = [(None, value) for value, name in names.items() if name == structure]
        elif labels.segments:
            places = [place for name, place in labels.segments.items() if name == structure]
        else:
            places = _values_of_dataset(volume.dataset, structure, labels.array)
        if not places:
            known = [*(names.values() if names else labels.segments)]
            raise UserError(
                f"{path} has no {structure!r}; it names {', '.join(known) or 'nothing'}"
            )
        found = np.zeros(volume.shape, dtype=bool)
        for layer, value in places:
            part = labels.array if layer is None else labels.array[layer : layer + 1]
            found |= np.any(part == value, axis=0)
        return found


def _files_at(path: Path) -> list[Path]:
    """Return the files at ``path``, to which a suffix may have to be added."""
    from benchmark.finished.segmentation import SUFFIXES

    named = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    return [file for file in (path, *named) if file.is_file()]


def _key_in_dataset(dataset: str, structure: str) -> list[str]:
    """Return the name that a dataset of the catalogue itself gives to a structure, if another."""
    from benchmark import catalogue

    try:
        entry = catalogue.load(dataset)
    except UserError:  # a dataset of the user's, which is not known by its id
        return []
    return [s.key for s in entry.labels.values() if s.name == structure and s.key is not None]


Place = tuple[int | None, int]
"""Layer (None: any) and value of a structure in a file."""


class Labels(NamedTuple):
    """A label file: integer layers (c, z, y, x), and its segments by name, if it has any."""

    array: NDArray[np.integer[Any]]
    segments: Mapping[str, Place]


def read(path: Path, volume: "Volume") -> Labels:
    """Read a label file; raises `UserError` if it is broken or not on the grid of ``volume``.

    Segments are those of 3D Slicer's .seg.nrrd; see `benchmark.finished.segmentation`.
    """
    from benchmark import slicer
    from benchmark import volume as volumes
    from benchmark.finished import segmentation
    from benchmark.geometry import same_grid

    segments = segmentation.segments(path)
    found = volumes.read_labels(path, layered=bool(segments))
    if slicer.is_slicer(path) and found.native and volume.native:
        moved, grid = slicer.on_extent(found.array, found.native, volume.native, path)
        found = replace(found, array=moved, spacing=grid.rounded_spacing, native=grid)
    if difference := same_grid(volume, found):
        raise UserError(f"{path} is not on the grid of its image. {difference}")
    array = found.array if found.array.ndim == 4 else found.array[None]
    return Labels(array, segments)


def _values_of_dataset(
    dataset: str, structure: str, array: NDArray[np.integer[Any]]
) -> list[Place]:
    """Return the values of a structure in the catalogue's entry of the dataset.

    If each value is an instance, these are all values of ``array`` from the first one on. Raises
    `UserError` for a user's own dataset, which is not known by its id.
    """
    from benchmark import catalogue

    try:
        entry = catalogue.load(dataset)
    except UserError:
        raise UserError(
            f"the values of {dataset or 'this volume'} are not known here; name them under "
            "options.labels, as value: structure"
        ) from None
    values: set[int] = set()
    for first, named in entry.labels.items():
        if named.name == structure:
            values.add(first)
            if named.instances == "values":
                others = {*entry.ignore, *entry.not_evaluated}
                values |= {*np.unique(array[array > first]).tolist()} - others
    return [(None, value) for value in sorted(values)]
