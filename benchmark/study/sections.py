"""The sections of a study file: methods, metrics, budgets and report."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from benchmark.adapter import Adapter, Learner
from benchmark.methods.registry import find
from benchmark.metrics.empty import EmptyPolicy
from benchmark.metrics.engines import Engine
from benchmark.prompt_kinds import PromptKind
from benchmark.settings import Label, Settings
from benchmark.specs import ReferenceChoice
from benchmark.weights import registry as weights

Protocol = Literal["paper", "released", "rigorous"]

REFERENCE_OF_PROTOCOL: dict[Protocol, ReferenceChoice] = {
    "paper": "label",
    "released": "label",
    "rigorous": "kept",
}
"""Default of `MetricSettings.reference`, in which text, scripts and good practice differ."""


class Method(Settings):
    """A method of a study: an adapter, its weights, its options and the kind of prompt.

    ``variants``: sets of options that replace some of ``options``, run in the same job.
    """

    adapter: str
    prompt: PromptKind
    weights: str | None = None
    options: dict[str, Any] = {}
    variants: dict[Label, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _fits_the_adapter(self) -> "Method":
        cls = find(self.adapter)
        if self.prompt not in cls.info.prompts:
            accepted = ", ".join(cls.info.prompts)
            raise ValueError(f"{self.adapter} takes {accepted}, not the prompt {self.prompt!r}")
        if self.variants and issubclass(cls, Learner):
            raise ValueError("a method that trains cannot have variants; list it once per training")
        adapter = cls(self.options)
        for options in self.variants.values():
            adapter.with_options(options)
        if self.weights is not None:
            weights.load(self.weights)
        elif cls.info.weights is not None:
            raise ValueError(
                f"{self.adapter} needs weights: set weights: {cls.info.weights}, another "
                "entry of `pambench weights list`, or an entry of your own"
            )
        return self

    @property
    def adapter_class(self) -> type[Adapter]:
        """The adapter's class."""
        return find(self.adapter)


class MetricSettings(Settings):
    """How predictions are scored.

    - ``nsd_tolerance_mm``: for structures that have no tolerance in ``tolerances`` (by structure,
      in mm) or in the catalogue.
    - ``reference``: what the prediction of a structure (the union over its objects) is compared
      with: the union of the ``kept`` objects or the whole ``label``; by default as the protocol
      says.
    - ``empty``: what undefined metrics of empty masks become.
    - ``in_prompt``: also compute sensitivity and specificity in the region of the prompt.
    - ``engine``: code that computes surface distances; see `benchmark.metrics.score`.
    """

    nsd_tolerance_mm: float = Field(default=2.0, gt=0)
    tolerances: dict[str, Annotated[float, Field(gt=0)]] = {}
    reference: ReferenceChoice | None = None
    empty: EmptyPolicy = EmptyPolicy()
    in_prompt: bool = False
    engine: Engine = "auto"


class Budgets(Settings):
    """Limits of losses and of timing.

    ``lost_share``: the study fails at its end if a larger share of the scans, the datasets or the
    cells of a method was lost. ``timed_objects``: number of objects per shard that are segmented
    again, one by one, to measure times.
    """

    lost_share: float = Field(default=0.2, ge=0, le=1)
    timed_objects: int = Field(default=2, ge=0)


def _colour(value: str) -> str:
    """Validate a colour for plots and pages: "#3366aa", "#36a", or a CSS name."""
    from PIL.ImageColor import colormap

    if not re.fullmatch(r"#([0-9a-fA-F]{3}){1,2}", value) and value not in colormap:
        raise ValueError(f"{value!r} is not a colour; use '#3366aa', or a CSS name such as 'teal'")
    return value


class ReportSettings(Settings):
    """What only the figures and the report depend on.

    - ``title``: of the report.
    - ``colours``: by method, to replace those of the style.
    - ``panels``: number of objects drawn as best, as median and as worst, if they fit a page.
    - ``panel_method``: the method whose scores select them.
    - ``cases_mb``: size limit for the images of the case browser in the report.
    - ``private_images``: show images of all datasets, for a report that is not shared.
    """

    title: str = "PAM benchmark"
    colours: dict[str, Annotated[str, AfterValidator(_colour)]] = {}
    panels: int = Field(default=1, ge=0)
    panel_method: str | None = None
    cases_mb: float = Field(default=12.0, ge=0)
    private_images: bool = False
