"""Layout of a dataset: where its files are, how images and labels pair up, and transforms."""

import re
import string
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from benchmark.settings import ONE_OR_MORE, Settings
from benchmark.transforms import AnyTransform


def placeholders(pattern: str) -> set[str]:
    """Return the names in braces of a path pattern."""
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return value


Expression = Annotated[str, BeforeValidator(_expression)]


class Series(Settings):
    """Images that are DICOM series, found in the raw folder by their headers.

    Attributes:
        modality: DICOM code of the modality.
        description: regular expression, searched in the description of the series.
        segmentation: regular expression, searched in the description of segmentations.
        grid: modality of the series of the same study to whose grid the image is resampled
            (linear interpolation).
    """

    modality: str
    description: Expression | None = None
    segmentation: Expression | None = None
    grid: str | None = None


class Layout(Settings):
    """Where images and labels are in the raw folder; ``docs/add-a-dataset.md`` has all keys.

    ``image`` gives path patterns, one per channel. In a pattern, a name in braces stands for text
    without a slash, ``*`` for any text within a name, and ``**/`` for any folders. ``{structure}``
    in ``label`` stands for the key of a structure, if each has its own file. Alternatively,
    ``series`` finds DICOM series by their headers; without a ``label``, the masks are the DICOM
    segmentations that refer to them.
    """

    image: Annotated[tuple[str, ...], ONE_OR_MORE] = ()
    series: Series | None = None
    label: str | None = None
    scan: str | None = None
    patient: Expression = "(.*)"
    scans_per_patient: int = Field(default=1, ge=1)
    where: dict[str, Expression] = {}
    each_channel: bool = False
    unlabelled: Literal["set-aside", "leave-out", "keep-empty"] = "set-aside"
    partly_annotated: bool = False
    block: tuple[int, int, int] | None = None
    image_transforms: tuple[AnyTransform, ...] = ()
    label_transforms: tuple[AnyTransform, ...] = ()
    unverified: str | None = None

    @field_validator("patient")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        if not re.compile(value).groups:
            raise ValueError(
                f"{value!r} needs a group in parentheses; the first one is the patient"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "Layout":
        if bool(self.image) == bool(self.series):
            raise ValueError("give either image (path patterns) or series (DICOM headers)")
        if self.image and self.label is None:
            raise ValueError("label is missing: the pattern of the label of an image")
        given = {"patient", "study", "series"} if self.series else placeholders(self.image[0])
        given |= placeholders(self.label or "")
        for pattern in (*self.image, self.id_template):
            for name in placeholders(pattern):
                if name not in given or name == "structure":
                    raise ValueError(f"{{{name}}} of {pattern!r} is in no path of the scan")
        if self.image and not placeholders(self.image[0]):
            raise ValueError(f"the pattern {self.image[0]!r} lacks {{scan}}")
        for pattern in (*self.image[1:], self.label or "{scan}"):
            if self.image and not placeholders(pattern) & placeholders(self.image[0]):
                raise ValueError(f"the pattern {pattern!r} lacks {{scan}}, so nothing pairs it")
        if self.series and "patient" not in placeholders(self.label or "{patient}"):
            raise ValueError(f"the pattern {self.label!r} lacks {{patient}}, so nothing pairs it")
        if unknown := set(self.where) - given:
            raise ValueError(f"where names {sorted(unknown)}, which are in no path of the scan")
        return self

    @property
    def id_template(self) -> str:
        """Template of the id of a scan, made of the names in braces."""
        return self.scan or ("{patient}" if self.series else "{scan}")
