"""Check the predictions of an adapter on one synthetic scan: their form and reproducibility."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.adapter import Adapter, Prediction, ReferenceAdapter
from benchmark.conformance.scenes import Scene
from benchmark.masks import Mask
from benchmark.prompts import Prompt

_SAME = 0.98  # lowest DSC at which runs that differ by rounding alone count as equal
ROUNDED = f"equal up to rounding on the GPU (DSC of {_SAME} or more)"


def fault(expected: str, got: str, step: str) -> str:
    """Return the sentence that describes a fault."""
    return f"Expected {expected}; got {got}. Next step: {step}."


class Trial:
    """The prompts of a scene with an adapter, and its predictions (None for a failure)."""

    def __init__(
        self, adapter: Adapter, scene: Scene, cases: Sequence[tuple[Prompt, Mask]]
    ) -> None:
        """Pair the adapter with ``cases``: prompts and the masks they were derived from."""
        self.adapter, self.scene, self.cases = adapter, scene, cases
        self.answers: list[Mask | None] = []

    def first(self) -> str | None:
        """Segment once and keep the predictions; return the fault, or None."""
        return self._segment(self.cases, self.answers)

    def again(self, *, rounds: bool = False) -> str | None:
        """Segment a second time; return how the predictions differ, or None.

        ``rounds``: whether sums on the device may be rounded differently from run to run.
        """
        answers: list[Mask | None] = []
        if wrong := self._segment(self.cases, answers):
            return wrong
        lowest = min(_dsc(a, b) for a, b in zip(self.answers, answers, strict=True))
        if lowest >= (_SAME if rounds else 1):
            return None
        step = "seed whatever is random, and keep no state between calls"
        equal = f"masks of two runs {ROUNDED}" if rounds else "equal masks in two runs"
        return fault(equal, f"a DSC of {lowest:.4f} between them", step)

    def order(self) -> str | None:
        """Return how predictions depend on order or number of the prompts, or None."""
        turned: list[Mask | None] = []
        alone: list[Mask | None] = []
        wrong = self._segment(self.cases[::-1], turned)
        for case in self.cases:
            wrong = wrong or self._segment([case], alone)
        if wrong:
            return wrong
        for others, how in ((turned[::-1], "in reversed order"), (alone, "one by one")):
            for index, (first, second) in enumerate(zip(self.answers, others, strict=True)):
                if (dsc := _dsc(first, second)) < _SAME:
                    got = f"a DSC of {dsc:.3f} between both"
                    step = "yield in the order of the prompts, and let no object change another"
                    return fault(f"the mask of prompt {index} also with prompts {how}", got, step)
        return None

    def prompts(self, cases: Sequence[tuple[Prompt, Mask]] | None = None) -> list[Prompt]:
        """Return the prompts of ``cases``; a `ReferenceAdapter` is given their masks."""
        cases = self.cases if cases is None else cases
        truth = {id(prompt): mask for prompt, mask in cases}
        if isinstance(self.adapter, ReferenceAdapter):
            self.adapter.reference = lambda prompt: truth[id(prompt)]
        return [prompt for prompt, _ in cases]

    def overlap(self) -> str:
        """Describe the overlap with the objects, as a hint."""
        pairs = zip(self.cases, self.answers, strict=True)
        found = [_dsc(truth, mask) for (_, truth), mask in pairs if mask is not None]
        if not found:
            return "failed with a reason, as allowed here"
        total = f"{len(found)} of {len(self.cases)} masks"
        return f"{total}, mean DSC {sum(found) / len(found):.2f} with the synthetic objects"

    def _segment(
        self, cases: Sequence[tuple[Prompt, Mask]], answers: list[Mask | None]
    ) -> str | None:
        volume = self.scene.volume
        before = volume.array.copy()
        # Each is taken before the next: an adapter may use one array for all of them.
        given = [
            _taken(prediction, self.scene)
            for prediction in islice(
                self.adapter.segment(volume, self.prompts(cases)), len(cases) + 1
            )
        ]
        if not np.array_equal(before, volume.array):
            return fault("an unchanged volume", "other grey values", "work on a copy of the array")
        if len(given) != len(cases):
            got = str(len(given)) if len(given) < len(cases) else f"more than {len(cases)}"
            step = "yield one Prediction a prompt, also where nothing is found"
            return fault(f"{len(cases)} predictions for as many prompts", got, step)
        for index, answer in enumerate(given):
            if isinstance(answer, str):
                return f"Prompt {index}: {answer}"
            answers.append(answer)
        return None


def _taken(prediction: Prediction, scene: Scene) -> Mask | str | None:
    """Return the mask of a prediction, None if it is a failure, or what is wrong with it."""
    if wrong := _malformed(prediction, scene):
        return wrong
    if prediction.mask is None:
        return None
    offset = prediction.offset or (0, 0, 0)
    return Mask.of(prediction.mask, offset=offset, shape=scene.volume.shape)


def _malformed(prediction: object, scene: Scene) -> str | None:
    if not isinstance(prediction, Prediction):
        return fault("a Prediction", type(prediction).__name__, "yield Prediction(mask)")
    if (prediction.mask is None) == (prediction.failure is None):
        got = "neither" if prediction.mask is None else "both"
        return fault("either a mask or a failure", got, "give one of the two")
    if prediction.mask is None:
        if scene.odd and str(prediction.failure).strip():
            return None
        return fault("a mask on a plain volume", f"failure: {prediction.failure}", "see the reason")
    mask = prediction.mask
    if not isinstance(mask, np.ndarray) or mask.ndim != 3:
        got = f"{type(mask).__name__} of shape {getattr(mask, 'shape', None)}"
        return fault("a numpy array (z, y, x)", got, "bring it to the cpu, drop other axes")
    if not _is_binary(mask):
        got = f"{mask.dtype} from {mask.min():g} to {mask.max():g}"
        return fault("bool, or 0 and 1", got, "threshold the scores: mask > 0.5")
    grid, offset = scene.volume.shape, prediction.offset
    if offset is None and mask.shape != grid:
        step = "resample to volume.shape, or give the offset of a part; check the order of axes"
        return fault(f"the shape of the volume, {grid}", str(mask.shape), step)
    if offset is not None and any(
        start < 0 or start + length > size
        for start, length, size in zip(offset, mask.shape, grid, strict=True)
    ):
        got = f"{mask.shape} at {offset}"
        return fault(f"a part inside the grid {grid}", got, "clip the part at the border")
    return None


def _is_binary(mask: NDArray[Any]) -> bool:
    return mask.dtype == np.bool_ or bool(np.isin(mask, (0, 1)).all())


def _dsc(first: Mask | None, second: Mask | None) -> float:
    if first is None or second is None:
        return float(first is second)
    total = first.voxels + second.voxels
    both = np.count_nonzero(first.dense() & second.dense())
    return 2 * both / total if total else 1.0
