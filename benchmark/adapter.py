"""What a segmentation method is to the benchmark, and how methods are found.

A method is a class in one file. Its name in a study file is that of an entry point of the group
``pambench.methods``, or directly ``package.module:Class``. The file imports its heavy libraries
inside `Adapter.load` and `Adapter.segment`, so that listing methods imports no torch.
"""

import functools
import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from benchmark.errors import UserError, unknown_name
from benchmark.settings import Settings, merged

if TYPE_CHECKING:
    from benchmark.fitting import Case
    from benchmark.kinds import Kind
    from benchmark.masks import Mask
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume

GROUP = "pambench.methods"
TOGETHER = "together"
"""Name of a model that learnt from several datasets."""


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """What is known of a method without running it.

    ``prompts``: the kinds it accepts. ``version``: raised when the method's results change, since
    it is part of their digest. ``licence``: of the code that runs, and whose that is; weights have
    one of their own. ``weights``: the entry to name where the method cannot do without any; a study
    that names none is refused. ``control``: a bound to hold methods against, which looks at no
    image; it enters no test and no ranking. ``sees_reference``: the marked exception, a control
    that is shown the truth. ``memory_mb``: MiB of a job; a large CT takes over 1000 to be read.
    ``elsewhere``: it computes in another process, whose memory is not seen from here.
    """

    summary: str
    prompts: tuple["Kind", ...]
    version: int = 1
    gpu: bool = False
    threads: int = 1
    memory_mb: int = 4000
    elsewhere: bool = False
    licence: str | None = None
    citation: str | None = None
    weights: str | None = None
    control: bool = False
    sees_reference: bool = False


@dataclass(frozen=True)
class Prediction:
    """One answer to one prompt: a mask, or the reason why there is none.

    ``mask``: bool (or 0 and 1) array (z, y, x) on the volume's grid; with ``offset`` (z, y, x) it
    is a part of that grid. An empty mask is an answer; ``failure`` is for what could not be done.
    """

    mask: NDArray[Any] | None = None
    offset: tuple[int, int, int] | None = None
    failure: str | None = None


class Adapter(ABC):
    """A segmentation method. Subclasses set `info`, may set `Options`, and write `segment`."""

    info: ClassVar[MethodInfo]

    class Options(Settings):
        """Options of the study file; a subclass declares its own, with defaults."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Check ``options`` against `Options`; a `UserError` names what is wrong."""
        self.options = self.Options.read(dict(options or {}), f"options of {type(self).__name__}")

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return a variant that shares what `load` made; ``options`` go over those given before.

        In a mapping only the keys that are named are replaced.
        """
        variant = copy(self)
        both = merged(self.options.model_dump(exclude_unset=True), options)
        variant.options = self.Options.read(both, f"options of {type(self).__name__}")
        return variant

    @property
    def needs(self) -> MethodInfo:
        """`info`, with what a job of `segment` is given as the options have it, where they tell:
        ``gpu``, ``threads``, ``memory_mb``."""
        return self.info

    def at_hand(self) -> str:
        """Describe in a few characters the state of what the method needs outside the study.

        No digest covers these things. When this text changes, the predictions are made again,
        except while the things are `missing`: then existing predictions are kept. Both methods must
        be fast, since they are called whenever the workflow is read.
        """
        return ""

    def missing(self) -> str | None:
        """Say what the user must provide before the method can run; until then it is skipped."""
        return None

    def load(self, weights: Path | None, device: str) -> None:  # noqa: B027 - most need none
        """Load the model, once a job; variants share it.

        ``weights``: the file of the entry in the study file or, where it has several, their folder;
        None without an entry. ``device``: ``cpu`` or ``cuda``.
        """

    def required(self, weights: Path | None) -> Path:
        """Give the file that `load` was handed; a `UserError` names the entry if there is none."""
        if weights is None:
            raise UserError(
                f"{type(self).__name__} needs weights: set `weights: {self.info.weights}` in the "
                "study file."
            )
        return weights

    @property
    def departures(self) -> dict[str, Any]:
        """Settings in force after `load` that are not those of the protocol, for the report.

        What weights bring goes before the protocol, and the options name none of it. Values are
        those of JSON. Most methods have no such settings.
        """
        return {}

    @abstractmethod
    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield one `Prediction` a prompt, in order.

        All prompts of the scan come at once, so that work can be shared. ``volume.array`` is read
        only. An exception counts as failure of the prompt that it was raised for.
        """


class Learner(Adapter):
    """A method that learns from training cases before it is asked.

    `plan` and `fit` run once a model; `load` is then handed the folder of both in place of weights.
    Only scans that were held back are predicted; see `benchmark.fitting`. ``speed_options``: names
    of options that change how fast `fit` is and nothing else. They are in no digest, so that a
    training goes on when they change. ``asked_options``: names of options that change predictions
    (or only where the method's program is) and nothing in what `fit` makes: they are in the digest
    of a run and not in that of its models.
    """

    speed_options: ClassVar[frozenset[str]] = frozenset()
    asked_options: ClassVar[frozenset[str]] = frozenset()

    class Options(Adapter.Options):
        """``learns_from``: the datasets of the study whose training cases make one model, which is
        asked about every dataset; by default each dataset has a model of its own."""

        learns_from: tuple[str, ...] = ()

    options: Options

    def __init_subclass__(cls) -> None:
        """Refuse a class whose options are not those of what learns."""
        super().__init_subclass__()
        if not issubclass(cls.Options, Learner.Options):
            raise UserError(
                f"{cls.__name__} is a Learner, so its options must include those of every Learner. "
                "Next step: class Options(Learner.Options), not Adapter.Options."
            )

    @property
    def gpus(self) -> int:
        """GPUs that `fit` computes on; of several, each has a process that torchrun starts."""
        return int(self.info.gpu)

    @property
    def threads(self) -> int:
        """CPU threads that `fit` takes."""
        return self.info.threads

    @property
    def memory_mb(self) -> int:
        """MiB that `fit` takes."""
        return self.info.memory_mb

    def model_for(self, dataset: str) -> str:
        """Name of the model that is asked about ``dataset``: what it learnt from."""
        named = self.options.learns_from or (dataset,)
        return named[0] if len(named) == 1 else TOGETHER

    def datasets_of(self, model: str) -> tuple[str, ...]:
        """Datasets that a model of `model_for` learns from."""
        return self.options.learns_from or (model,)

    @abstractmethod
    def plan(self, cases: "Sequence[Case]", structures: Sequence[str], workdir: Path) -> None:
        """Make what `fit` needs of the training cases, in ``workdir``; no GPU is needed.

        ``structures``: names, in the order of the values of `Case.labels`. A folder that an earlier
        plan left is replaced.
        """

    @abstractmethod
    def fit(self, workdir: Path, device: str, start: Path | None) -> None:
        """Train, or go on with a training that was interrupted, and leave the model there.

        ``start``: weights to begin with, those of the entry in the study file, if it names one.
        """

    def progress(self, workdir: Path) -> tuple[int, int] | None:
        """Steps that a training in ``workdir`` has done, and of how many; None if it cannot tell.

        For `pambench status` alone; asked while `fit` is at it, or was interrupted.
        """
        return None


class ReferenceAdapter(Adapter):
    """A control that is shown the truth (``sees_reference``); never a method."""

    reference: Callable[["Prompt"], "Mask"]
    """Set before `segment` is called: the reference mask of the object behind a prompt."""


@functools.cache  # the search reads every installed package, and a study asks for each method
def available() -> Mapping[str, str]:
    """Names of the registered methods and their ``module:Class``; imports none of them."""
    found: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        if found.setdefault(point.name, point.value) != point.value:
            raise UserError(
                f"Two packages register the method {point.name!r}: {found[point.name]} and "
                f"{point.value}. Name one of them as module:Class in the study file."
            )
    return found


def find(name: str) -> type[Adapter]:
    """Import the class of a method by its registered name or ``module:Class``."""
    target = name if ":" in name else available().get(name)
    if target is None:
        raise UserError(
            unknown_name("method", name, available())
            + " A method in a file of your own is named module:Class."
        )
    module, _, attribute = target.partition(":")
    if str(Path.cwd()) not in sys.path:  # a file of the user's own lies in the working directory
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"The method {name!r} cannot be imported from {target} ({error}). "
            "Run from the folder that holds the module, or install its package."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise UserError(f"{target} is not a benchmark.adapter.Adapter; see docs/add-a-method.md.")
    return found


def slug(name: str) -> str:
    """Short name of a method for folder names: the registered name, or the class in lower case."""
    return name.rpartition(":")[2].lower()
