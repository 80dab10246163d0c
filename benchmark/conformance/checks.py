"""Whether an adapter keeps its contract: run on small made volumes, with an answer a rule.

The volumes hold bright balls in noise. Nothing here judges how good a method is; the overlap with
the balls is told as a hint alone, since a near-zero one is most often a mistake of axes.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.adapter import Adapter, MethodInfo, Prediction, ReferenceAdapter, find
from benchmark.conformance import resources
from benchmark.conformance.scenes import Scene, scenes
from benchmark.errors import UserError
from benchmark.masks import Mask
from benchmark.prompts import KINDS, Kind, Prompt

_HEAVY = ("torch", "tensorflow", "jax")
_SAME = 0.98  # DSC from which two runs of other batches are taken for the same answer


@dataclass(frozen=True)
class Finding:
    """One rule of the contract: whether it holds, and what was seen."""

    name: str
    ok: bool
    detail: str


def check(
    name: str,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    weights: Path | None = None,
    kinds: Sequence[Kind] = KINDS,
) -> list[Finding]:
    """Check the adapter ``name`` (registered, or ``module:Class``) with these ``options``.

    ``kinds``: of prompts, out of those that the adapter takes.

    Gives every finding in a fixed order; a mistake that bars the way ends the list early. All is
    well when every finding is ``ok``.
    """
    findings: list[Finding] = []

    def attempt(rule: str, action: Callable[[], str | None], good: str) -> bool:
        """Run ``action``, which returns what is wrong or None, and note the finding."""
        try:
            wrong = action()
        except UserError as error:
            wrong = str(error)
        except Exception as error:  # whatever a method raises is a finding
            wrong = _say("no exception", f"{type(error).__name__}: {error}", "mend the adapter")
        findings.append(Finding(rule, wrong is None, wrong or good))
        return wrong is None

    if not attempt("found", partial(_found, name), f"{name} is an Adapter"):
        return findings
    cls = find(name)
    attempt("import is light", partial(_heavy, cls.__module__), "no deep-learning library loaded")
    if not attempt("info", partial(_info, cls), "all fields are valid"):
        return findings
    if not attempt("options", partial(_options, cls, options), "read, shared, strict"):
        return findings
    adapter = cls(options)
    if reason := adapter.missing():
        return [*findings, Finding("at hand", False, reason)]
    start = perf_counter()
    if not attempt("load", partial(adapter.load, weights, device), f"loaded on {device}"):
        return findings
    load_s = perf_counter() - start
    for scene in scenes():
        for kind in (kind for kind in cls.info.prompts if kind in kinds):
            every = scene.name == "plain" and kind in ("box2d", "mask2d")
            for axis in (0, 1, 2) if every else (0,):
                run = _Run(adapter, scene, scene.prompts(kind, axis))
                where = f"{scene.name}, {kind}" + (f", axis {axis}" if every else "")
                if not attempt(where, run.first, ""):
                    continue
                findings[-1] = replace(findings[-1], detail=run.overlap())
                if scene.name == "plain" and axis == 0:
                    attempt(f"two runs, {kind}", run.again, "are equal")
                    attempt(f"order, {kind}", run.order, "answers follow their prompts")
                    asked = (adapter, scene, run.prompts())
                    lost = partial(resources.memory_runs_out, *asked)
                    attempt(f"out of memory, {kind}", lost, "is no answer")
                    kept = partial(resources.memory_is_released, *asked)
                    attempt(f"memory, {kind}", kept, "is released after a scan")
                    took = resources.times(*asked, load_s)
                    findings.append(Finding(f"time, {kind}", True, took))
    return findings


def _found(name: str) -> None:
    find(name)


def _say(expected: str, got: str, step: str) -> str:
    return f"Expected {expected}; got {got}. Next step: {step}."


def _heavy(module: str) -> str | None:
    code = (
        f"import importlib, sys; importlib.import_module({module!r}); "
        f"print(*(m for m in {_HEAVY!r} if m in sys.modules))"
    )
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return _say("a module that imports by itself", last, f"run: python -c 'import {module}'")
    if loaded := done.stdout.strip():
        step = "move these imports from the top of the file into load and segment"
        return _say("an import without deep-learning libraries", loaded, step)
    return None


def _info(cls: type[Adapter]) -> str | None:
    info = getattr(cls, "info", None)
    if not isinstance(info, MethodInfo):
        return _say("a class attribute info = MethodInfo(...)", repr(info), "add it to the class")
    wrong = []
    if not info.summary.strip() or "\n" in info.summary:
        wrong.append(f"summary is one line of text, not {info.summary!r}")
    if not isinstance(info.prompts, tuple) or not info.prompts or set(info.prompts) - set(KINDS):
        wrong.append(f"prompts is a tuple of some of {', '.join(KINDS)}, not {info.prompts!r}")
    for field in ("version", "threads", "memory_mb"):
        value = getattr(info, field)
        if not isinstance(value, int) or value < 1:
            wrong.append(f"{field} is a whole number from 1 on, not {value!r}")
    if info.sees_reference != issubclass(cls, ReferenceAdapter):
        wrong.append("sees_reference is true for a ReferenceAdapter and for no other class")
    if info.sees_reference and not info.control:
        wrong.append("what sees the reference is a control, so control must be true")
    return _say("a valid info", "; ".join(wrong), "mend these fields") if wrong else None


def _options(cls: type[Adapter], options: Mapping[str, Any] | None) -> str | None:
    adapter = cls(options)
    variant = adapter.with_options({})
    if type(variant) is not cls or variant.options != adapter.options:
        got = f"{type(variant).__name__} with {variant.options}"
        step = "do not override __init__ or with_options; declare fields in Options"
        return _say(f"a variant with the same options, {adapter.options}", got, step)
    try:
        adapter.with_options({"no-such-option": 1})
    except UserError:
        return None
    step = "let the nested Options inherit Adapter.Options unchanged"
    return _say("an unknown option to be refused", "silence", step)


class _Run:
    """The prompts of a scene under an adapter, and its answers (None for a failure)."""

    def __init__(
        self, adapter: Adapter, scene: Scene, cases: Sequence[tuple[Prompt, Mask]]
    ) -> None:
        self.adapter, self.scene, self.cases = adapter, scene, cases
        self.answers: list[Mask | None] = []

    def first(self) -> str | None:
        """Segment once and keep the answers; say what breaks the contract."""
        return self._segment(self.cases, self.answers)

    def again(self) -> str | None:
        """Say whether a second run differs."""
        answers: list[Mask | None] = []
        if wrong := self._segment(self.cases, answers):
            return wrong
        lowest = min(_dsc(a, b) for a, b in zip(self.answers, answers, strict=True))
        if lowest == 1:
            return None
        step = "seed whatever is random, and keep no state between calls"
        return _say("equal masks in two runs", f"a DSC of {lowest:.4f} between them", step)

    def order(self) -> str | None:
        """Say whether the answers change with the order or the number of the prompts."""
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
                    return _say(f"the mask of prompt {index} also with prompts {how}", got, step)
        return None

    def prompts(self, cases: Sequence[tuple[Prompt, Mask]] | None = None) -> list[Prompt]:
        """Give the prompts of ``cases``; a control is shown the truth behind them."""
        cases = self.cases if cases is None else cases
        truth = {id(prompt): mask for prompt, mask in cases}
        if isinstance(self.adapter, ReferenceAdapter):
            self.adapter.reference = lambda prompt: truth[id(prompt)]
        return [prompt for prompt, _ in cases]

    def overlap(self) -> str:
        """Tell how much was found, as a hint."""
        pairs = zip(self.cases, self.answers, strict=True)
        found = [_dsc(truth, mask) for (_, truth), mask in pairs if mask is not None]
        if not found:
            return "failed with a reason, as allowed here"
        total = f"{len(found)} of {len(self.cases)} masks"
        return f"{total}, mean DSC {sum(found) / len(found):.2f} with the made objects"

    def _segment(
        self, cases: Sequence[tuple[Prompt, Mask]], answers: list[Mask | None]
    ) -> str | None:
        volume = self.scene.volume
        before = volume.array.copy()
        given = list(self.adapter.segment(volume, self.prompts(cases)))
        if not np.array_equal(before, volume.array):
            return _say("an unchanged volume", "other grey values", "work on a copy of the array")
        if len(given) != len(cases):
            step = "yield one Prediction a prompt, also where nothing is found"
            return _say(f"{len(cases)} predictions for as many prompts", str(len(given)), step)
        for index, prediction in enumerate(given):
            if wrong := _malformed(prediction, self.scene):
                return f"Prompt {index}: {wrong}"
            mask, offset = prediction.mask, prediction.offset or (0, 0, 0)
            found = None if mask is None else Mask.of(mask, offset=offset, shape=volume.shape)
            answers.append(found)
        return None


def _malformed(prediction: object, scene: Scene) -> str | None:
    if not isinstance(prediction, Prediction):
        return _say("a Prediction", type(prediction).__name__, "yield Prediction(mask)")
    if (prediction.mask is None) == (prediction.failure is None):
        got = "neither" if prediction.mask is None else "both"
        return _say("either a mask or a failure", got, "give one of the two")
    if prediction.mask is None:
        if scene.odd and str(prediction.failure).strip():
            return None
        return _say("a mask on a plain volume", f"failure: {prediction.failure}", "see the reason")
    mask = prediction.mask
    if not isinstance(mask, np.ndarray) or mask.ndim != 3:
        got = f"{type(mask).__name__} of shape {getattr(mask, 'shape', None)}"
        return _say("a numpy array (z, y, x)", got, "bring it to the cpu, drop other axes")
    if not _is_binary(mask):
        got = f"{mask.dtype} from {mask.min():g} to {mask.max():g}"
        return _say("bool, or 0 and 1", got, "threshold the scores: mask > 0.5")
    grid, offset = scene.volume.shape, prediction.offset
    if offset is None and mask.shape != grid:
        step = "resample to volume.shape, or give the offset of a part; check the order of axes"
        return _say(f"the shape of the volume, {grid}", str(mask.shape), step)
    if offset is not None and any(
        start < 0 or start + length > size
        for start, length, size in zip(offset, mask.shape, grid, strict=True)
    ):
        got = f"{mask.shape} at {offset}"
        return _say(f"a part inside the grid {grid}", got, "clip the part at the border")
    return None


def _is_binary(mask: NDArray[Any]) -> bool:
    return mask.dtype == np.bool_ or bool(np.isin(mask, (0, 1)).all())


def _dsc(first: Mask | None, second: Mask | None) -> float:
    if first is None or second is None:
        return float(first is second)
    total = first.voxels + second.voxels
    both = np.count_nonzero(first.dense() & second.dense())
    return 2 * both / total if total else 1.0
