"""What is done to the pixels of an image or a label as published: one class a quirk.

A transform is named in the layout of a catalogue entry and applied in the file's own order of axes,
before anything is brought to the canonical grid.
"""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.published import suv
from benchmark.published.raster import Raster
from benchmark.settings import Settings, short_for


class Flip(Settings):
    """Reverse ``axes`` ("z", "yx", ...) of the array; the grid stays: the pixels were stored wrong.

    CHAOS CT: the pictures of the label are numbered against the order of the DICOM series.
    """

    tag: ClassVar = "flip"
    name: Literal["flip"]
    axes: str = Field(pattern="^[zyx]{1,3}$")

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Reverse the axes."""
        return replace(raster, array=np.flip(raster.array, tuple(_axis(a) for a in self.axes)))


class Permute(Settings):
    """Take the axes in another order, ``order`` in terms of the old: "xyz" turns the array over.

    Position and direction on file mean nothing then: the new grid is a plain one with the spacing
    of the old axes. QUBIQ: the slices are on the first axis of the file.
    """

    tag: ClassVar = "permute"
    name: Literal["permute"]
    order: str

    @field_validator("order")
    @classmethod
    def _names_each_axis_once(cls, value: str) -> str:
        if sorted(value) != ["x", "y", "z"]:
            raise ValueError(f"{value!r} is not an order of the axes z, y and x")
        return value

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Reorder the axes and their spacing."""
        x, y, z = raster.grid.spacing
        spacing = {"x": x, "y": y, "z": z}
        array = np.transpose(raster.array, (0, *(_axis(a) % 4 for a in self.order)))
        zyx = (spacing[self.order[0]], spacing[self.order[1]], spacing[self.order[2]])
        return replace(raster, array=array, grid=Geometry.canonical_of(array.shape[1:], zyx))


class Spacing(Settings):
    """Set the spacing, (z, y, x) in ``mm``, where the files lost it."""

    tag: ClassVar = "spacing"
    name: Literal["spacing"]
    mm: tuple[float, float, float]

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Change the grid."""
        z, y, x = self.mm
        return replace(raster, grid=replace(raster.grid, spacing=(x, y, z)))


class Linear(Settings):
    """Values times ``slope`` plus ``intercept``: to Hounsfield units where files lack them."""

    tag: ClassVar = "linear"
    name: Literal["linear"]
    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Change the values; whole numbers stay whole where both factors are."""
        whole = self.slope.is_integer() and self.intercept.is_integer()
        if whole and raster.array.dtype.kind in "iu":
            array = raster.array.astype(np.int32) * int(self.slope) + int(self.intercept)
            return replace(raster, array=array)
        scaled = raster.array * np.float64(self.slope) + self.intercept
        return replace(raster, array=scaled.astype(np.float32))


class Binary(Settings):
    """All that is not zero becomes ``value``."""

    tag: ClassVar = "binary"
    name: Literal["binary"]
    value: int = Field(default=1, ge=1, le=255)

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Change the values."""
        return replace(raster, array=(raster.array != 0).astype(np.uint8) * np.uint8(self.value))


class GreyValues(Settings):
    """Grey values of a picture to labels: ``ranges`` gives the first and last grey of each label.

    0 is the background; a grey value that no range holds is an error. CHAOS MR: 55 to 70 is liver.
    """

    tag: ClassVar = "grey-values"
    name: Literal["grey-values"]
    ranges: dict[int, tuple[int, int]] = Field(min_length=1)

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Change the values."""
        array = np.zeros(raster.array.shape, dtype=np.uint8)
        for label, (first, last) in self.ranges.items():
            array[(raster.array >= first) & (raster.array <= last)] = label
        lost = np.unique(raster.array[(array == 0) & (raster.array != 0)])
        if lost.size:
            told = ", ".join(f"{a} to {b}" for a, b in self.ranges.values())
            raise UserError(
                f"{raster.path}: grey values that mean nothing. Expected {told}; got "
                f"{lost[:5].tolist()}. Likely cause: another file, or pictures saved with loss. "
                "Next step: look at the pictures, then add a range to grey-values."
            )
        return replace(raster, array=array)


class Channel(Settings):
    """One volume of several along the fourth axis: the one of ``index``, from 0."""

    tag: ClassVar = "channel"
    name: Literal["channel"]
    index: int = Field(ge=0)

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Take the volume."""
        if self.index >= len(raster.array):
            raise UserError(
                f"{raster.path}: no volume {self.index} along the fourth axis. Expected more than "
                f"{self.index}; got {len(raster.array)}. Likely cause: another file in its place. "
                "Next step: check the file against the catalogue entry."
            )
        return replace(raster, array=raster.array[self.index : self.index + 1])


class Suv(Settings):
    """Activity of a PET series to standardised uptake by body weight, see `published.suv`."""

    tag: ClassVar = "suv"
    name: Literal["suv"]

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Scale by the factor that the headers give."""
        factor = np.float32(suv.factor(raster))
        return replace(raster, array=raster.array.astype(np.float32) * factor)


class OntoImage(Settings):
    """A label on another grid is resampled to that of the image: nearest neighbour, 0 outside."""

    tag: ClassVar = "onto-image"
    name: Literal["onto-image"]

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Resample, unless the grids are the same."""
        from benchmark.published.resample import onto

        if image is None or image == raster.grid:
            return raster
        return onto(raster, image, nearest=True)


class ImageGrid(Settings):
    """The label has the voxels of the image, in its order; what the header says is not trusted."""

    tag: ClassVar = "image-grid"
    name: Literal["image-grid"]

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Take the grid of the image; a `UserError` where the shape differs."""
        if image is None:
            return raster
        if raster.array.shape[:0:-1] != image.size:
            raise UserError(
                f"{raster.path}: the label does not have the size of the image. Expected "
                f"{image.size} (x, y, z); got {raster.array.shape[:0:-1]}. Likely cause: the label "
                "of another series. Next step: leave the scan out, or find the series."
            )
        return replace(raster, grid=image)


def _axis(letter: str) -> int:
    return "zyx".index(letter) - 3


AnyTransform = Annotated[
    Annotated[
        Binary
        | Channel
        | Flip
        | GreyValues
        | ImageGrid
        | Linear
        | OntoImage
        | Permute
        | Spacing
        | Suv,
        Field(discriminator="name"),
    ],
    short_for("name"),
]
