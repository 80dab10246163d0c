"""Settings of the statistics: the key ``analysis`` of a study file."""

from typing import Annotated

from pydantic import Field

from benchmark.settings import Settings


class Reach(Settings):
    """How far, in mm, one step of a propagating method reaches, and its variants.

    Attributes:
        plain: reach of the method itself, in mm.
        variants: reach of each variant, in mm.
        least_slices: smallest number of slices that a step covers, whatever the reach in mm.
        most_slices: largest number of slices; None for no limit.
    """

    plain: float = Field(default=20.0, gt=0)
    variants: dict[str, Annotated[float, Field(gt=0)]] = {}
    least_slices: int = Field(default=0, ge=0)
    most_slices: int | None = Field(default=None, ge=1)


class Cohort(Settings):
    """Patients of a dataset with scans before and after treatment, and their survival.

    Attributes:
        table: csv or parquet file: a path, or the name of a file of the dataset.
        patient: its column of patient names.
        time: its column of times to the event or to censoring.
        event: its column that is 1 for an event and 0 for censoring.
        pre: its column of scans before treatment.
        post: its column of scans after treatment.
        structure: name of the lesions, if the dataset has other structures.
        covariates: numeric columns for the adjusted Cox model.
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
    """Everything that the statistics depend on besides their tables.

    Attributes:
        seed: seed of all random numbers.
        resamples: number of draws of every bootstrap.
        confidence: confidence level of every interval.
        margin: difference of DSC within which two settings of a method are equivalent.
        mixed_scans: largest number of scans of a dataset in the mixed model, drawn at random.
        controls: methods left out of comparisons and rankings; a study adds those that their
            adapters mark as controls.
        thickness: propagation reach of each method and its variants.
        reference: method with which the regularity analysis compares the others; None for the
            first in the table.
        interaction: path of the table of measured interaction times.
        runs: path of the table of training runs.
        cohorts: patients for the survival analysis, by dataset.
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
        """Share of the distribution beyond each end of an interval."""
        return (1 - self.confidence) / 2
