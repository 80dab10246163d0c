"""What ``record.json`` says about the datasets and methods of a study."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.errors import UserError

OVERRIDES_RECORDED = "departures"
"""Key of `Adapter.protocol_overrides` in the record of masks; it is that of existing masks."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True)


class DatasetRecord(_Entry):
    """A dataset of a study.

    Attributes:
        name: full name, empty if it has none.
        split: group of datasets that averages are also made over, such as ``external``.
        modality: CT, MR, PET-CT or another.
        licence: SPDX identifier; None if unknown.
        redistributable: the licence is known to allow images in a report.
        homepage: address of its page.
        citation: DOI or text.
        data_citations: further works to cite: the data themselves, and those they were made from.
        state: ``ready``, ``manual`` or ``failed``, see `benchmark.sources.Status`.
        reason: why it is not ready.
        quirks: what a reader should know of the data and of how they are used.
        spacing_note: caveat on its voxel spacing.
        published: number of scans in the published dataset.
        scans: number of scans with cells; None if not recorded.
        objects: number of objects with cells; None if not recorded.
        set_aside: number of scans that no method could use.
        patients: number of patients; None if the study holds none back.
        held_back: number of patients that are held back from methods that learn, or None.
    """

    name: str = ""
    split: str = ""
    modality: str = ""
    licence: str | None = None
    redistributable: bool = False
    homepage: str | None = None
    citation: str | None = None
    data_citations: tuple[str, ...] = ()
    state: str = "ready"
    reason: str | None = None
    quirks: tuple[str, ...] = ()
    spacing_note: str | None = None
    published: int | None = None
    scans: int | None = None
    objects: int | None = None
    set_aside: int = 0
    patients: int | None = None
    held_back: int | None = None


class MethodRecord(_Entry):
    """A method of a study, with what is known about its weights.

    Attributes:
        run: id of the run with its masks and scores.
        adapter: name of its adapter.
        prompt: kind of prompt, or ``structure``.
        prompts: id of the prompt rules.
        options: options of the adapter.
        variants: options of each variant that differ from those of the method.
        weights: the study's name for its weights; None without weights.
        weights_name: full name of the weights.
        weights_state: ``ready``, ``manual`` or ``failed``.
        weights_reason: why the weights are not ready.
        weights_command: command that fetches the weights.
        weights_sha256: hash of their file, or hashes separated by commas.
        weights_licence: licence of the weights in words.
        weights_trained_on: datasets that they were trained on; None if unknown.
        weights_trained_on_complete: whether ``weights_trained_on`` is known to be complete.
        weights_trained_on_source: where that is stated.
        summary: the adapter in one sentence.
        licence: licence of the method.
        citation: DOI or text.
        gpu: whether it runs on a GPU.
        control: it is a bound, which never looks at the image.
        sees_reference: it is shown the reference.
        made_by: record of the job that made its masks.
        shards_on: number of shards computed on each device: ``cpu``, ``cuda`` or the name of a GPU;
            shards with nothing to compute are not counted.
        mixed_source: files of a user's method that were edited between its shards.
    """

    run: str | None = None
    adapter: str | None = None
    prompt: str = "unknown"
    prompts: str | None = None
    options: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = {}
    weights: str | None = None
    weights_name: str | None = None
    weights_state: str = "ready"
    weights_reason: str | None = None
    weights_command: str | None = None
    weights_sha256: str | None = None
    weights_licence: str | None = None
    weights_trained_on: tuple[str, ...] | None = None
    weights_trained_on_complete: bool = True
    weights_trained_on_source: str | None = None
    summary: str = ""
    licence: str | None = None
    citation: str | None = None
    gpu: bool = False
    control: bool = False
    sees_reference: bool = False
    made_by: dict[str, Any] = {}
    shards_on: dict[str, int] = {}
    mixed_source: tuple[str, ...] = ()

    @property
    def protocol_overrides(self) -> dict[str, Any]:
        """Settings that differ from those of the protocol, by group."""
        return dict(self.made_by.get(OVERRIDES_RECORDED) or {})


class StudyRecord(_Entry):
    """The entries of ``record.json`` on datasets, by id, and on methods, by name."""

    datasets: dict[str, DatasetRecord] = {}
    methods: dict[str, MethodRecord] = {}

    @classmethod
    def read(cls, record: dict[str, Any], path: Path) -> Self:
        """Validate the content of ``record.json``; raise a `UserError` that names ``path``."""
        try:
            return cls.model_validate(record)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{path}: {where}: {first['msg']}. Likely the file was edited, or written by "
                "another version. Next step: run the study again with this version."
            ) from None
