"""The key ``analysis`` of a study file: what the statistics depend on."""

from typing import Annotated

from pydantic import Field

from benchmark.settings import Settings


class Reach(Settings):
    """How far, in mm, a step of a propagating method reaches, and the variants that change it.

    ``plain``: that of the method itself; ``least_slices``, ``most_slices``: between which it takes
    a reach in whole slices, whatever it comes to in mm.
    """

    plain: float = Field(default=20.0, gt=0)
    variants: dict[str, Annotated[float, Field(gt=0)]] = {}
    least_slices: int = Field(default=0, ge=0)
    most_slices: int | None = Field(default=None, ge=1)


class Cohort(Settings):
    """Patients of a dataset with a scan before and one after treatment, and how they fared.

    ``table``: a csv or parquet file, a path or the name of one among the files of the dataset; then
    the names of its columns. ``structure``: the lesions, where the dataset has other structures;
    ``covariates``: numbers that the adjusted Cox model takes.
    """

    table: str = "cohort.csv"
    patient: str = "patient"
    time: str = "time_months"
    event: str = "event"
    pre: str = "pre_scan"
    post: str = "post_scan"
    structure: str | None = None
    covariates: tuple[str, ...] = ()


class AnalysisSettings(Settings):
    """What the statistics depend on beside their tables.

    ``resamples``: of every bootstrap; ``confidence``: level of every interval; ``margin``: the
    difference of DSC below which two settings of a method count as equivalent; ``mixed_scans``: so
    many scans of a dataset, drawn by the seed, enter the mixed model; ``controls``: methods that
    enter no comparison and no ranking (a study adds those that its adapters mark); ``thickness``:
    by method, what its variants change; ``reference``: the method that regularity holds others
    against, null for the first; ``interaction``, ``runs``: paths of the tables of measured
    interaction times and of training runs; ``cohorts``: by dataset, patients for survival.
    """

    seed: int = Field(default=0, ge=0)
    resamples: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    margin: float = Field(default=0.02, gt=0)
    mixed_scans: int = Field(default=20, ge=2)
    controls: tuple[str, ...] = ()
    thickness: dict[str, Reach] = {}
    reference: str | None = None
    interaction: str | None = None
    runs: str | None = None
    cohorts: dict[str, Cohort] = {}

    @property
    def tail(self) -> float:
        """Share of a distribution beyond either end of an interval."""
        return (1 - self.confidence) / 2
