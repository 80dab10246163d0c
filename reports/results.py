"""Access to the results folder of a study, from which tables, figures and report are made."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis import read_statistics
from benchmark.errors import UserError
from benchmark.storage.files import read_json
from benchmark.storage.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.analysis.settings import AnalysisSettings
    from benchmark.collecting.study_record import DatasetRecord, MethodRecord, StudyRecord
    from benchmark.study.sections import ReportSettings
    from reports.style import MethodStyle


@dataclass(frozen=True)
class Results:
    """A study's folder as written by `collect` and `analyse`; tables are read lazily."""

    folder: Path

    def __post_init__(self) -> None:
        """Raise a `UserError` if the folder holds no study."""
        if not (self.folder / "settings.json").exists():
            raise UserError(
                f"{self.folder} is not the folder of a study. Expected settings.json, record.json "
                "and scores.parquet in it; got no settings.json. Likely the study was not run to "
                "its end, or the path is that of another folder. Next step: run the study, then "
                "name results/<study>."
            )

    @property
    def workdir(self) -> Path:
        """The folder that the workflow ran in, which contains ``data`` and ``results``."""
        return self.folder.absolute().parents[1]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The content of the study file."""
        return dict(read_json(self.folder / "settings.json"))

    @property
    def confidence(self) -> str:
        """Confidence level of the intervals as text, such as 95 %."""
        return f"{100 * self.analysis.confidence:g} %"

    @cached_property
    def analysis(self) -> "AnalysisSettings":
        """The study file's ``analysis`` section."""
        from benchmark.analysis.settings import AnalysisSettings

        path = self.folder / "settings.json"
        return AnalysisSettings.read(self.settings.get("analysis", {}), f"{path}: analysis")

    @cached_property
    def record(self) -> dict[str, Any]:
        """The run record; `dataset_records` and `method_record` give its typed entries."""
        return dict(read_json(self.folder / "record.json"))

    @cached_property
    def _described(self) -> "StudyRecord":
        from benchmark.collecting.study_record import StudyRecord

        return StudyRecord.read(self.record, self.folder / "record.json")

    @property
    def dataset_records(self) -> "dict[str, DatasetRecord]":
        """The record of each dataset, by id."""
        return self._described.datasets

    @property
    def method_records(self) -> "dict[str, MethodRecord]":
        """The record of each method, by name."""
        return self._described.methods

    def method_record(self, method: str) -> "MethodRecord":
        """Return the record of a method; that of an unknown method is empty."""
        from benchmark.collecting.study_record import MethodRecord

        return self.method_records.get(method) or MethodRecord()

    @property
    def dataset_names(self) -> dict[str, str]:
        """Full name of each dataset, or its id if it has none."""
        return {i: entry.name or i for i, entry in self.dataset_records.items()}

    @cached_property
    def report_settings(self) -> "ReportSettings":
        """The study file's ``report`` section, stored apart since no statistics depend on it."""
        from benchmark.study.sections import ReportSettings

        path = self.folder / "figures" / "settings.json"
        return ReportSettings.load(path) if path.exists() else ReportSettings()

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Methods in the order of the study file; those without any score come last."""
        named = self.overall["method"].unique().tolist()
        rest = [m for m in self.method_records if m not in named]
        return tuple(dict.fromkeys([*named, *rest]))

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Controls: bounds that never look at the image; some are shown the reference."""
        return tuple(m for m in self.methods if self.method_record(m).control)

    @property
    def methods_in_table_order(self) -> tuple[str, ...]:
        """Methods in the order of table columns: controls last."""
        return (*(m for m in self.methods if m not in self.controls), *self.controls)

    def datasets_with_images(self, *, include_restricted: bool) -> set[str]:
        """Return the datasets whose images may be shown by their licence, or all of them."""
        return {
            i
            for i, entry in self.dataset_records.items()
            if include_restricted or entry.redistributable
        }

    @property
    def restricted_images_shown(self) -> list[str]:
        """Datasets whose images are shown although their licence is not known to allow it."""
        if not self.report_settings.private_images:
            return []
        restricted = self.datasets_with_images(include_restricted=True)
        restricted -= self.datasets_with_images(include_restricted=False)
        return sorted(i for i in restricted if self.dataset_records[i].scans)

    @cached_property
    def styles(self) -> "dict[str, MethodStyle]":
        """Colour, marker and line of each method, the same in all figures."""
        from reports.style import method_styles

        return method_styles(self.methods, self.controls, self.report_settings.colours)

    @property
    def panel_method(self) -> str | None:
        """The method by whose scores the qualitative panels are chosen."""
        named = self.report_settings.panel_method
        scored = (m for m in self.methods if self.method_record(m).prompt != "structure")
        return named or next((m for m in scored if m not in self.controls), None)

    @cached_property
    def by_dataset(self) -> "pd.DataFrame":
        """Averages by dataset; see `benchmark.analysis.aggregate.by_dataset`."""
        return self.statistics("by_dataset")

    @cached_property
    def overall(self) -> "pd.DataFrame":
        """Averages over the datasets; see `benchmark.analysis.aggregate.overall`."""
        return self.statistics("overall")

    @cached_property
    def comparison(self) -> "pd.DataFrame":
        """Paired comparison of the methods; see `benchmark.analysis.comparison`."""
        return self.statistics("comparison")

    @cached_property
    def times(self) -> "pd.DataFrame":
        """Inference times by phase, measured one object at a time."""
        return read_table(self.folder / "times.parquet")

    @cached_property
    def failures(self) -> "pd.DataFrame":
        """Scans set aside, and failed and skipped cells, with stage and reason."""
        return read_table(self.folder / "failures.parquet")

    @cached_property
    def set_aside(self) -> int:
        """Number of scans that could not be used by any method."""
        rows = self.failures[self.failures["method"].isna() & self.failures["scan"].notna()]
        return len(rows[["dataset", "scan"]].drop_duplicates())

    @cached_property
    def prepared(self) -> int:
        """Number of scans that were prepared."""
        return len(read_table(self.folder / "images.parquet", ["dataset", "scan"]))

    @cached_property
    def objects(self) -> "pd.DataFrame":
        """Scores of single objects, at the base variant and deviation 0."""
        from benchmark.analysis.aggregate import read_scores

        more = ["object", "prompt_hash", "reason"]
        return read_scores(self.folder / "scores.parquet", level="object", more=more)

    @cached_property
    def empty_predictions(self) -> dict[str, tuple[int, int]]:
        """Number of empty predictions and of scored cells, by method.

        A cell is a structure of a scan, at the base variant and deviation 0. A prediction is empty
        exactly where ``volume_ratio`` is 0; without that column the result is empty.
        """
        from benchmark.analysis import frames

        path = self.folder / "scores.parquet"
        ratio = "volume_ratio"
        table = frames.read(path, [*frames.SCORE_KEY, "status", ratio])
        if ratio not in table:
            return {}
        cells = frames.base_rows(frames.checked_scores(table, str(path)), "structure")
        scored = cells[cells["status"] == "ok"]
        groups = (scored[ratio] == 0).groupby(scored["method"], sort=False)
        return {str(m): (int(part.sum()), len(part)) for m, part in groups}

    @cached_property
    def nsd_tolerances(self) -> "pd.DataFrame":
        """Tolerance of NSD that each structure was scored with.

        Columns ``dataset``, ``structure`` and ``tolerance_mm``; no rows if the scores do not tell.
        """
        from benchmark.analysis import frames

        columns = ["dataset", "structure", "tolerance_mm"]
        table = frames.read(self.folder / "scores.parquet", columns)
        return table.reindex(columns=columns).dropna().drop_duplicates(ignore_index=True)

    def statistics(self, name: str) -> "pd.DataFrame":
        """Read a statistics table by name; see ``docs/analyses.md`` for the tables.

        Raises a `UserError` if the table is missing.
        """
        path = self.folder / "statistics" / f"{name}.csv"
        if not path.exists():
            raise UserError(
                f"{path} is missing. Expected the statistics of the study; likely `pambench "
                f"analyse` has not run. Next step: run it with the study, then this command again."
            )
        return read_statistics(path)
