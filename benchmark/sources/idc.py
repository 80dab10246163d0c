"""DICOM series of the NCI Imaging Data Commons, chosen in its pinned index."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from benchmark.sources.remote import Remote


class IdcSource(Remote):
    """Series of a collection, as ``<collection>/<patient>/<study UID>/<modality>_<series UID>/``.

    ``index``: release of the IDC whose index chooses the series. ``series``: how many series of
    each modality there are; null where that is not known. ``patients``: pattern of the patient ids.
    ``descriptions``: SeriesDescription texts, by modality, that a series must have one of.
    ``analysis_results``: ids of annotations by others that are taken too.
    """

    tag: ClassVar = "idc"
    kind: Literal["idc"]
    collection: str = Field(pattern=r"^[a-z0-9_]+$")
    index: int = Field(ge=1)
    series: dict[str, int | None] = Field(min_length=1)
    patients: str = "*"
    descriptions: dict[str, tuple[str, ...]] = {}
    analysis_results: tuple[str, ...] = ()

    @field_validator("series")
    @classmethod
    def _has_series(cls, value: dict[str, int | None]) -> dict[str, int | None]:
        if any(count is not None and count < 1 for count in value.values()):
            raise ValueError("a modality has one series or more, or null where that is not known")
        return value
