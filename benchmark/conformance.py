"""Whether an adapter keeps its contract: run on small made volumes, with an answer a rule.

The volumes hold bright balls in noise. Nothing here judges how good a method is; the overlap with
the balls is told as a hint alone, since a near-zero one is most often a mistake of axes.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark import prompts as prompting
from benchmark.adapter import Adapter, MethodInfo, Prediction, ReferenceAdapter, find
from benchmark.errors import UserError
from benchmark.masks import Mask
from benchmark.prompts import KINDS, Kind, Prompt
from benchmark.volume import Volume

_HEAVY = ("torch", "tensorflow", "jax")
_SHAPE = (20, 28, 36)
_BALLS = (((9, 10, 11), 6), ((10, 17, 25), 5), ((6, 20, 8), 4))  # centre and radius in voxels
_SAME = 0.98  # DSC from which two runs of other batches are taken for the same answer


@dataclass(frozen=True)
class Finding:
    """One rule of the contract: whether it holds, and what was seen."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Scene:
    """A made volume and the masks of its objects; ``odd``: a failure with a reason will do."""

    name: str
    volume: Volume
    masks: tuple[Mask, ...]
    odd: bool = False

    def prompts(self, kind: Kind, axis: int) -> list[tuple[Prompt, Mask]]:
        """Give the prompt of each object and its mask."""
        return [
            (prompting.from_row(row, mask.shape), mask)
            for mask in self.masks
            for row in prompting.derive(mask, axis, [0.0])
            if row["kind"] == kind
        ]


def check(
    name: str,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    weights: Path | None = None,
) -> list[Finding]:
    """Check the adapter ``name`` (registered, or ``module:Class``) with these ``options``.

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

    if not attempt("found", lambda: find(name) and None, f"{name} is an Adapter"):
        return findings
    cls = find(name)
    attempt("import is light", lambda: _heavy(cls.__module__), "no deep-learning library loaded")
    if not attempt("info", lambda: _info(cls), "all fields are valid"):
        return findings
    if not attempt("options", lambda: _options(cls, options), "read, shared by variants, strict"):
        return findings
    adapter = cls(options)
    if not attempt("load", lambda: adapter.load(weights, device), f"loaded on {device}"):
        return findings
    for scene in _scenes():
        for kind in cls.info.prompts:
            every = scene.name == "plain" and kind != "box3d"
            for axis in (0, 1, 2) if every else (0,):
                cases = scene.prompts(kind, axis)
                rule = f"{scene.name}, {kind}" + (f", axis {axis}" if every else "")
                answers: list[Mask | None] = []
                ok = attempt(rule, lambda: _answers(adapter, scene, cases, answers), "")  # noqa: B023
                if ok:
                    findings[-1] = replace(findings[-1], detail=_overlap(cases, answers))
                if ok and scene.name == "plain" and axis == 0:
                    attempt(
                        f"deterministic, {kind}",
                        lambda: _repeats(adapter, scene, cases, answers),  # noqa: B023
                        "two runs are equal",
                    )
                    attempt(
                        f"order, {kind}",
                        lambda: _order(adapter, scene, cases, answers),  # noqa: B023
                        "answers follow their prompts, whatever their order and number",
                    )
    return findings


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


def _segment(adapter: Adapter, scene: Scene, cases: Sequence[tuple[Prompt, Mask]]) -> Any:
    if isinstance(adapter, ReferenceAdapter):
        truth = {prompt.hash: mask for prompt, mask in cases}
        adapter.reference = lambda prompt: truth[prompt.hash]
    return list(adapter.segment(scene.volume, [prompt for prompt, _ in cases]))


def _answers(
    adapter: Adapter,
    scene: Scene,
    cases: Sequence[tuple[Prompt, Mask]],
    answers: list[Mask | None],
) -> str | None:
    """Segment; fill ``answers`` (None for a failure); say what breaks the contract."""
    before = scene.volume.array.copy()
    given = _segment(adapter, scene, cases)
    if not np.array_equal(before, scene.volume.array):
        return _say("an unchanged volume", "other grey values", "work on a copy of volume.array")
    if len(given) != len(cases):
        step = "yield one Prediction a prompt, also where nothing is found"
        return _say(f"{len(cases)} predictions for as many prompts", str(len(given)), step)
    for index, prediction in enumerate(given):
        if wrong := _malformed(prediction, scene):
            return f"Prompt {index}: {wrong}"
        mask, offset = prediction.mask, prediction.offset or (0, 0, 0)
        answers.append(
            None if mask is None else Mask.of(mask, offset=offset, shape=scene.volume.shape)
        )
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


def _repeats(
    adapter: Adapter,
    scene: Scene,
    cases: Sequence[tuple[Prompt, Mask]],
    answers: Sequence[Mask | None],
) -> str | None:
    again: list[Mask | None] = []
    if wrong := _answers(adapter, scene, cases, again):
        return wrong
    lowest = min(_dsc(a, b) for a, b in zip(answers, again, strict=True))
    step = "seed whatever is random, and keep no state between calls"
    return _say("equal masks in two runs", f"a DSC of {lowest:.4f}", step) if lowest < 1 else None


def _order(
    adapter: Adapter,
    scene: Scene,
    cases: Sequence[tuple[Prompt, Mask]],
    answers: Sequence[Mask | None],
) -> str | None:
    turned: list[Mask | None] = []
    alone: list[Mask | None] = []
    wrong = _answers(adapter, scene, cases[::-1], turned)
    for case in cases:
        wrong = wrong or _answers(adapter, scene, [case], alone)
    if wrong:
        return wrong
    for others, how in ((turned[::-1], "in reversed order"), (alone, "one by one")):
        for index, (first, second) in enumerate(zip(answers, others, strict=True)):
            if (dsc := _dsc(first, second)) < _SAME:
                got = f"a DSC of {dsc:.3f} between both"
                step = "yield in the order of the prompts, and let no object change another"
                return _say(f"the mask of prompt {index} also with prompts {how}", got, step)
    return None


def _overlap(cases: Sequence[tuple[Prompt, Mask]], answers: Sequence[Mask | None]) -> str:
    found = [
        _dsc(truth, mask)
        for (_, truth), mask in zip(cases, answers, strict=True)
        if mask is not None
    ]
    if not found:
        return "failed with a reason, as allowed here"
    return (
        f"{len(found)} of {len(cases)} masks, mean DSC {np.mean(found):.2f} with the made objects"
    )


def _dsc(first: Mask | None, second: Mask | None) -> float:
    if first is None or second is None:
        return float(first is second)
    total = first.voxels + second.voxels
    both = np.count_nonzero(first.dense() & second.dense())
    return 2 * both / total if total else 1.0


def _scenes() -> Iterator[Scene]:
    balls = [_ball(_SHAPE, centre, radius) for centre, radius in _BALLS]
    yield _scene("plain", _SHAPE, balls)
    yield _scene("whole numbers", _SHAPE, balls, dtype=np.int16)
    flat = [
        _ball((9, 30, 34), centre, r, (5, 1, 1))
        for centre, r in (((4, 9, 10), 8), ((3, 20, 24), 7))
    ]
    yield _scene("anisotropic", (9, 30, 34), flat, spacing=(5, 1, 1))
    corners = [_ball(_SHAPE, (0, 0, 0), 6), _ball(_SHAPE, (19, 27, 35), 6)]
    yield _scene("border", _SHAPE, corners)
    whole = np.ones((6, 9, 8), dtype=bool)
    yield _scene("object fills the grid", whole.shape, [whole], odd=True)
    slab = _ball((1, 28, 36), (0, 13, 16), 7)
    yield _scene("one slice", (1, 28, 36), [slab], odd=True)
    speck = _ball(_SHAPE, (10, 14, 18), 0)
    yield _scene("one voxel", _SHAPE, [speck], odd=True)
    yield _scene("two channels", _SHAPE, balls, channels=("first", "second"), odd=True)
    constant = _scene("constant", _SHAPE, balls, odd=True)
    array = np.zeros_like(constant.volume.array)
    array.flags.writeable = False
    yield replace(constant, volume=replace(constant.volume, array=array))


def _ball(
    shape: tuple[int, ...],
    centre: tuple[int, int, int],
    radius: float,
    spacing: tuple[float, float, float] = (1, 1, 1),
) -> NDArray[np.bool_]:
    axes = ((np.arange(n) - c) * mm for n, c, mm in zip(shape, centre, spacing, strict=True))
    z, y, x = np.ix_(*axes)
    inside: NDArray[np.bool_] = z**2 + y**2 + x**2 <= radius**2
    return inside


def _scene(
    name: str,
    shape: tuple[int, ...],
    objects: Sequence[NDArray[np.bool_]],
    *,
    spacing: tuple[float, float, float] = (2, 2, 2),
    dtype: Any = np.float32,
    channels: tuple[str, ...] = (),
    odd: bool = False,
) -> Scene:
    noise = np.random.default_rng(0).normal(40, 12, (max(len(channels), 1), *shape))
    for item in objects:
        noise[:, item] += 100
    array = noise.astype(dtype) if channels else noise[0].astype(dtype)
    array.flags.writeable = False
    masks = tuple(Mask.of(item) for item in objects)
    return Scene(name, Volume(array, spacing, "CT", channels), masks, odd)
