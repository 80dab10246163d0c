"""DICOM series of the NCI Imaging Data Commons, selected in its pinned index."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from benchmark.sources.download import locked
from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File, below
from benchmark.sources.patience import DownloadError, InterruptedDownloadError
from benchmark.sources.raw_folder import FetchedFile, RawFolder

HOST = "s3.amazonaws.com"
_FILES, _UNFINISHED = "[!.]*.dcm", "*.dcm?*"
"""Patterns of the files of a series, and of leftovers of an interrupted download beside them."""
_TEMPLATE = "%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID"


@dataclass(frozen=True)
class Series:
    """A series of the index; number of files and total bytes are used to check it."""

    uid: str
    patient: str
    study: str
    modality: str
    instances: int
    bytes: int

    @property
    def folder(self) -> str:
        """Folder of the series, below that of the collection."""
        return below(f"{self.patient}/{self.study}/{self.modality}_{self.uid}")

    def is_in(self, root: Path) -> bool:
        """Return whether all its files are there, judged by their number and total size."""
        sizes = [file.stat().st_size for file in (root / self.folder).glob(_FILES)]
        return len(sizes) == self.instances and sum(sizes) == self.bytes


class IdcSource(FetchedSource):
    """Series of a collection, in ``<collection>/<patient>/<study UID>/<modality>_<series UID>/``.

    ``index`` is the IDC release whose index selects the series. ``series`` gives the number of
    series of each modality, or None where it is not known. ``patients`` is a pattern of patient
    ids. ``descriptions`` lists, by modality, the SeriesDescription values to accept.
    ``analysis_results`` lists ids of third-party annotations to include. ``studies_with`` is a
    modality without a series of which a study is left out.
    """

    tag: ClassVar = "idc"
    kind: Literal["idc"]
    collection: str = Field(pattern=r"^[a-z0-9_]+$")
    index: int = Field(ge=1)
    series: dict[str, int | None] = Field(min_length=1)
    patients: str = "*"
    descriptions: dict[str, tuple[str, ...]] = {}
    analysis_results: tuple[str, ...] = ()
    studies_with: str | None = None

    @field_validator("series")
    @classmethod
    def _has_series(cls, value: dict[str, int | None]) -> dict[str, int | None]:
        if any(count is not None and count < 1 for count in value.values()):
            raise ValueError("a modality has one series or more, or null where that is not known")
        return value

    @model_validator(mode="after")
    def _fetches_what_a_study_must_have(self) -> "IdcSource":
        if self.studies_with and self.studies_with not in self.series:
            raise ValueError(f"studies_with: {self.studies_with} is no modality under series")
        return self

    def chosen(self) -> list[Series]:
        """Return the series that the entry selects from the installed index; needs no network.

        Raises `DownloadError` if the index is of another release, or if the numbers of series
        differ from those of the entry.
        """
        import idc_index_data
        import pyarrow.parquet as pq

        installed = idc_index_data.__version__
        if int(installed.partition(".")[0]) != self.index:
            raise DownloadError(
                f"The series are chosen in the index of IDC release {self.index}, but "
                f"idc-index-data {installed} is installed. Run: pip install "
                f"'idc-index-data=={self.index}.*'"
            )
        columns = {
            "SeriesInstanceUID": "uid", "PatientID": "patient", "StudyInstanceUID": "study",
            "Modality": "modality", "instanceCount": "instances", "series_size_MB": "bytes",
            "SeriesDescription": "description", "analysis_result_id": "by",
        }  # fmt: skip
        path = idc_index_data.IDC_INDEX_PARQUET_FILEPATH
        rows = pq.read_table(
            path, columns=list(columns), filters=[("collection_id", "==", self.collection)]
        ).to_pylist()
        found = []
        for row in rows:
            facts = {columns[name]: value for name, value in row.items()}
            if self._fits(facts.pop("description"), facts.pop("by"), facts):
                found.append(Series(**{**facts, "bytes": round(facts["bytes"] * 1e6)}))
        if self.studies_with:
            studies = {series.study for series in found if series.modality == self.studies_with}
            found = [series for series in found if series.study in studies]
        self._check_numbers(found)
        return sorted(found, key=lambda series: series.folder)

    def _fits(self, description: str | None, by: str | None, facts: dict[str, str]) -> bool:
        modality = facts["modality"]
        described = self.descriptions.get(modality)
        return (
            modality in self.series
            and (by is None or by in self.analysis_results)
            and fnmatchcase(facts["patient"], self.patients)
            and (described is None or description in described)
        )

    def _check_numbers(self, found: Sequence[Series]) -> None:
        numbers = Counter(series.modality for series in found)
        for modality, number in self.series.items():
            if numbers[modality] != (number or numbers[modality]) or not numbers[modality]:
                raise DownloadError(
                    f"IDC release {self.index} has {numbers[modality]} {modality} series of "
                    f"{self.collection} that fit, but the entry knows of {number or 'some'}. "
                    "Correct the entry (patients, descriptions, series)."
                )

    def gather(self, place: RawFolder) -> list[FetchedFile]:
        """Download the missing series with idc-index, and check that they are complete."""
        root, series = place.downloads / "idc" / self.collection, self.chosen()

        def once() -> None:
            missing = [one for one in series if not one.is_in(root)]
            if missing:
                _download(missing, root)
                missing = [one for one in missing if not one.is_in(root)]
            if missing:
                raise InterruptedDownloadError(
                    f"{len(missing)} of {len(series)} series arrived incomplete (first: "
                    f"{missing[0].uid})"
                )

        with locked(root), place.host_slot(HOST):
            what = f"IDC {self.collection}"
            place.patience.retry(what, once, lambda: _bytes_there(series, root))
        return [_got(root, self.collection, one) for one in series]


def _got(root: Path, collection: str, series: Series) -> FetchedFile:
    name = f"{collection}/{series.folder}"
    return FetchedFile(root / series.folder, name, File(name=name))


def _bytes_there(series: Sequence[Series], root: Path) -> int:
    return sum(one.bytes for one in series if one.is_in(root))


def _download(series: Sequence[Series], root: Path) -> None:
    from idc_index.index import IDCClient, IDCClientInsufficientDiskSpaceError

    client: Any = IDCClient
    root.mkdir(parents=True, exist_ok=True)
    for one in series:
        for leftover in (root / one.folder).glob(_UNFINISHED):  # their names are never reused
            leftover.unlink()
    try:
        client().download_from_selection(
            str(root),
            seriesInstanceUID=[one.uid for one in series],
            dirTemplate=_TEMPLATE,
            use_s5cmd_sync=True,
        )
    except IDCClientInsufficientDiskSpaceError as error:
        raise DownloadError(f"{root}: {error} Make room there, then run again.") from None
