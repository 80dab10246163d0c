"""Transforms that correct irregularities of published images and labels, one class each.

A transform is named in the layout of a catalogue entry. It is applied in the axis order of the
file, before anything is brought to the canonical grid.
"""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.settings import Settings, short_for
from benchmark.transforms import suv
from benchmark.transforms.raster import Raster


class Flip(Settings):
    """Reverse ``axes`` ("z", "yx", ...) of the array and keep the grid, for pixels stored wrongly.

    Example: the label pictures of CHAOS CT are numbered against the order of the DICOM series.
    """

    tag: ClassVar = "flip"
    name: Literal["flip"]
    axes: str = Field(pattern="^[zyx]{1,3}$")

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Reverse the axes."""
        return replace(raster, array=np.flip(raster.array, tuple(_axis(a) for a in self.axes)))


class Permute(Settings):
    """Reorder the axes; ``order`` names the old axes, so "xyz" reverses their order.

    Position and direction in the file lose their meaning: the new grid is canonical, with the
    spacing of the old axes. Example: the slices of QUBIQ are on the first axis of the file.
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
    """Set the spacing to ``mm``, (z, y, x), where the files have lost it.

    With ``only_missing``, a file that tells the size of its voxels keeps it.
    """

    tag: ClassVar = "spacing"
    name: Literal["spacing"]
    mm: tuple[float, float, float]
    only_missing: bool = False

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Replace the spacing of the grid."""
        if raster.sized and self.only_missing:
            return raster
        z, y, x = self.mm
        return replace(raster, grid=replace(raster.grid, spacing=(x, y, z)))


class Linear(Settings):
    """Map values to ``slope`` * value + ``intercept``, for example to Hounsfield units."""

    tag: ClassVar = "linear"
    name: Literal["linear"]
    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Rescale the values: to int32 if values and both factors are integers, else to float32."""
        whole = self.slope.is_integer() and self.intercept.is_integer()
        if whole and raster.array.dtype.kind in "iu":
            array = raster.array.astype(np.int32) * int(self.slope) + int(self.intercept)
            return replace(raster, array=array)
        scaled = raster.array * np.float64(self.slope) + self.intercept
        return replace(raster, array=scaled.astype(np.float32))


class Binary(Settings):
    """Set all nonzero voxels to ``value``."""

    tag: ClassVar = "binary"
    name: Literal["binary"]
    value: int = Field(default=1, ge=1, le=255)

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Binarise the values; the result is uint8."""
        return replace(raster, array=(raster.array != 0).astype(np.uint8) * np.uint8(self.value))


class GreyValues(Settings):
    """Map grey values of a picture to labels; ``ranges`` holds each label's first and last value.

    0 is the background, and a grey value in no range is an error. Example: in CHAOS MR, 55 to 70 is
    liver.
    """

    tag: ClassVar = "grey-values"
    name: Literal["grey-values"]
    ranges: dict[int, tuple[int, int]] = Field(min_length=1)

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Replace grey values by labels, uint8; a `UserError` for a grey value in no range."""
        array = np.zeros(raster.array.shape, dtype=np.uint8)
        for label, (first, last) in self.ranges.items():
            array[(raster.array >= first) & (raster.array <= last)] = label
        lost = np.unique(raster.array[(array == 0) & (raster.array != 0)])
        if lost.size:
            expected = ", ".join(f"{a} to {b}" for a, b in self.ranges.values())
            raise UserError(
                f"{raster.path}: grey values that mean nothing. Expected {expected}; got "
                f"{lost[:5].tolist()}. Likely cause: another file, or pictures saved with loss. "
                "Next step: look at the pictures, then add a range to grey-values."
            )
        return replace(raster, array=array)


class Channel(Settings):
    """Select the volume ``index``, from 0, of several along the fourth axis."""

    tag: ClassVar = "channel"
    name: Literal["channel"]
    index: int = Field(ge=0)

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Select the volume; a `UserError` if there is no such volume."""
        if self.index >= len(raster.array):
            raise UserError(
                f"{raster.path}: no volume {self.index} along the fourth axis. Expected more than "
                f"{self.index}; got {len(raster.array)}. Likely cause: another file in its place. "
                "Next step: check the file against the catalogue entry."
            )
        return replace(raster, array=raster.array[self.index : self.index + 1])


class Suv(Settings):
    """Convert the activity of a PET series to SUV by body weight; see the module `suv`."""

    tag: ClassVar = "suv"
    name: Literal["suv"]

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Multiply by the factor from the headers; the result is float32."""
        factor = np.float32(suv.factor(raster))
        return replace(raster, array=raster.array.astype(np.float32) * factor)


class OntoImage(Settings):
    """Resample a label on another grid to that of the image: nearest neighbour, 0 outside."""

    tag: ClassVar = "onto-image"
    name: Literal["onto-image"]

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Resample, unless the grids are equal."""
        from benchmark.transforms.resample import onto

        if image is None or image == raster.grid:
            return raster
        return onto(raster, image, nearest=True)


class ImageGrid(Settings):
    """Give the label the grid of the image, voxel by voxel, and ignore the label's own header."""

    tag: ClassVar = "image-grid"
    name: Literal["image-grid"]

    def apply(self, raster: Raster, image: Geometry | None = None) -> Raster:
        """Take the grid of the image; a `UserError` where the sizes differ."""
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
