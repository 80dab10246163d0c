"""The interface of a segmentation method.

A method is one class in one file, which imports its heavy libraries inside `Adapter.load` and
`Adapter.segment`, so that listing methods does not import torch. Besides this module, such a file
imports `benchmark.prompts.Prompt` and `benchmark.volume.Volume` and, where it needs them,
`benchmark.boxes`, `benchmark.errors.UserError`, `benchmark.machine.precision.in_precision` and
`benchmark.machine.batch.Batches`. `benchmark.methods.registry` finds the class.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.settings import Settings, merged

if TYPE_CHECKING:
    from benchmark.learning.fitting import Case
    from benchmark.masks import Mask
    from benchmark.prompt_kinds import PromptKind
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume

__all__ = ["Adapter", "Learner", "MethodInfo", "Prediction", "ReferenceAdapter", "Resources"]

TOGETHER = "together"
"""Name of a model that is trained on several datasets."""


class Resources(NamedTuple):
    """What a job requests: GPUs, CPU threads and memory (MiB)."""

    gpus: int
    threads: int
    memory_mb: int


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """What is known about a method without running it.

    - ``prompts``: kinds of prompt that the method accepts.
    - ``version``: part of the digest of a run; increase it when the method's results change.
    - ``gpu``: whether the method can use a GPU.
    - ``threads``, ``memory_mb``: CPU threads and memory (MiB) of a job. Reading a large CT takes
      over 1000 MiB.
    - ``out_of_process``: the method computes in another process, whose memory cannot be measured
      from here.
    - ``licence``: licence and owner of the code that runs; weights have a licence of their own.
    - ``weights``: the entry to name if the method cannot run without weights; a study that names
      none is refused.
    - ``control``: a bound for the methods, made without looking at the image and excluded from
      tests and rankings.
    - ``sees_reference``: marks the controls that are given the reference masks.
    """

    summary: str
    prompts: tuple["PromptKind", ...]
    version: int = 1
    gpu: bool = False
    threads: int = 1
    memory_mb: int = 4000
    out_of_process: bool = False
    licence: str | None = None
    citation: str | None = None
    weights: str | None = None
    control: bool = False
    sees_reference: bool = False

    @property
    def resources(self) -> Resources:
        """``gpu``, ``threads`` and ``memory_mb`` as a job requests them."""
        return Resources(int(self.gpu), self.threads, self.memory_mb)


@dataclass(frozen=True)
class Prediction:
    """The answer to one prompt: a mask, or the reason why there is none.

    ``mask`` is a bool (or 0 and 1) array (z, y, x) on the volume's grid or, with ``offset`` (z, y,
    x) in voxels, on a part of that grid. An empty mask is a valid answer; ``failure`` is for a
    prompt that could not be processed.
    """

    mask: NDArray[Any] | None = None
    offset: tuple[int, int, int] | None = None
    failure: str | None = None

    @classmethod
    def empty(cls) -> Self:
        """Return an empty mask."""
        return cls(np.zeros((0, 0, 0), dtype=bool), (0, 0, 0))


class Adapter(ABC):
    """A segmentation method; subclasses set `info` and write `segment`, and may set `Options`."""

    info: ClassVar[MethodInfo]

    class Options(Settings):
        """Options in the study file; a subclass declares its own, with defaults."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Validate ``options`` against `Options`; raise `UserError` if any is invalid."""
        self.options = self.Options.read(dict(options or {}), f"options of {type(self).__name__}")

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return a variant that shares the loaded model, with ``options`` merged over its options.

        Nested mappings are merged key by key.
        """
        variant = copy(self)
        both = merged(self.options.model_dump(exclude_unset=True), options)
        variant.options = self.Options.read(both, f"options of {type(self).__name__}")
        return variant

    @property
    def resources(self) -> Resources:
        """What a job that predicts under these options requests; by default, as in `info`."""
        return self.info.resources

    def external_state(self) -> str:
        """Return a short description of the state of what the method needs from outside the study.

        No digest covers this state. When the text changes, predictions are made again, except while
        `missing_requirement` gives a reason: then existing predictions are kept. Both methods must
        be fast, because they are called whenever the workflow is read.
        """
        return ""

    def missing_requirement(self) -> str | None:
        """Return what the user must provide before the method can run; None if nothing.

        Until then the method is skipped.
        """
        return None

    def load(self, weights: Path | None, device: str) -> None:  # noqa: B027 - most need none
        """Load the model, once per job; variants share it.

        ``weights``: the file of the entry in the study file or, if the entry has several, their
        folder; None without an entry. ``device``: ``cpu`` or ``cuda``.
        """

    def require_weights(self, weights: Path | None, hint: str = "") -> Path:
        """Return ``weights`` as passed to `load`; raise `UserError` if it is None.

        ``hint``: what to do then; by default, to name the weights of `info` in the study file.
        """
        if weights is None:
            hint = hint or f"set `weights: {self.info.weights}` in the study file."
            raise UserError(f"{type(self).__name__} needs weights: {hint}")
        return weights

    @property
    def protocol_overrides(self) -> dict[str, Any]:
        """Settings in effect after `load` that differ from the protocol's, for the report.

        Settings stored with the weights override the protocol without appearing in the options. The
        values must be serialisable as JSON. Most methods have none.
        """
        return {}

    @abstractmethod
    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield one `Prediction` per prompt, in order.

        All prompts of a scan are passed at once, so that work can be shared; the answers must not
        depend on scans that came before. ``volume.array`` is read-only. An exception counts as the
        failure of the prompt that caused it; see `benchmark.inference.segmenting.segment_prompts`.
        """


class Learner(Adapter):
    """A method that is trained on cases of the study before it predicts.

    `plan` and `fit` run once per model; `load` then receives their folder in place of weights. Only
    scans that were held back are predicted; see `benchmark.learning.fitting`.

    - ``runtime_options``: names of options that change only the speed of `fit`. They are in no
      digest, so that a training continues when they change.
    - ``inference_options``: names of options that change predictions (or only the location of the
      method's program) but not what `fit` makes. They are in the digest of a run but not in that of
      its models.
    """

    runtime_options: ClassVar[frozenset[str]] = frozenset()
    inference_options: ClassVar[frozenset[str]] = frozenset()

    class Options(Adapter.Options):
        """Options of every `Learner`.

        ``learns_from``: the datasets of the study whose training cases make one model, which
        predicts every dataset; by default each dataset has its own model.
        """

        learns_from: tuple[str, ...] = ()

    options: Options

    def __init_subclass__(cls) -> None:
        """Raise `UserError` if the subclass's `Options` do not inherit from `Learner.Options`."""
        super().__init_subclass__()
        if not issubclass(cls.Options, Learner.Options):
            raise UserError(
                f"{cls.__name__} is a Learner, so its options must include those of every Learner. "
                "Next step: class Options(Learner.Options), not Adapter.Options."
            )

    @property
    def plan_resources(self) -> Resources:
        """What a job of `plan` requests; by default, as in `info` but no GPU."""
        return self.info.resources._replace(gpus=0)

    @property
    def fit_resources(self) -> Resources:
        """What a job of `fit` requests; with several GPUs, torchrun starts a process for each."""
        return self.info.resources

    def model_for(self, dataset: str) -> str:
        """Return the name of the model that predicts ``dataset``.

        It is the dataset that the model is trained on, or `TOGETHER` if there are several.
        """
        named = self.options.learns_from or (dataset,)
        return named[0] if len(named) == 1 else TOGETHER

    def datasets_of(self, model: str) -> tuple[str, ...]:
        """Return the datasets that ``model``, a name from `model_for`, is trained on."""
        return self.options.learns_from or (model,)

    @abstractmethod
    def plan(self, cases: "Sequence[Case]", structures: Sequence[str], workdir: Path) -> None:
        """Prepare in ``workdir`` what `fit` needs of the training cases; must not need a GPU.

        ``structures``: names, in the order of the values 1, 2, ... of `Case.labels`. The folder of
        an earlier plan is replaced.
        """

    @abstractmethod
    def fit(self, workdir: Path, device: str, start: Path | None) -> None:
        """Train in ``workdir``, resuming an interrupted training, and leave the model there.

        ``device``: as in `load`. ``start``: weights to start from, those of the entry in the study
        file, or None without an entry.
        """

    def progress(self, workdir: Path) -> tuple[int, int] | None:
        """Return the steps done and the total of the training in ``workdir``; None if unknown.

        Only ``pambench status`` calls this, while `fit` runs or after it was interrupted.
        """
        return None


class ReferenceAdapter(Adapter):
    """A control that is given the reference masks (``sees_reference``); never a method."""

    reference: Callable[["Prompt"], "Mask"]
    """Returns the reference mask of a prompt's object; set before `segment` is called."""
