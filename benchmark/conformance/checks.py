"""Check that an adapter fulfils its contract, with one finding per rule.

The adapter is run on small synthetic volumes of bright balls in noise. The quality of a method is
not judged: the overlap with the balls is only reported, since a value near zero is most often due
to swapped axes.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmark.adapter import Adapter, Learner, MethodInfo, ReferenceAdapter
from benchmark.conformance import resources
from benchmark.conformance.answers import ROUNDED, Trial, fault
from benchmark.conformance.cases import synthetic_cases
from benchmark.conformance.scenes import STRUCTURE, scenes
from benchmark.errors import UserError, place
from benchmark.inference.segmenting import error_text, preserved_state
from benchmark.learning.fitting import Case
from benchmark.machine.machine_errors import INTERRUPTIONS, METHOD_ERRORS
from benchmark.methods.registry import find
from benchmark.prompt_kinds import PROMPT_KINDS, PromptKind

_HEAVY = ("torch", "tensorflow", "jax")


@dataclass(frozen=True)
class Finding:
    """Result of one rule of the contract: whether it holds, and what was observed."""

    name: str
    ok: bool
    detail: str


def findings(
    name: str,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    weights: Path | None = None,
    kinds: Sequence[PromptKind] = PROMPT_KINDS,
) -> Iterator[Finding]:
    """Check the adapter ``name`` (registered, or ``module:Class``) with these ``options``.

    ``kinds`` restricts the kinds of prompt among those that the adapter accepts. A method that
    learns is first trained on synthetic cases; ``weights`` are then its starting point.

    Yields the findings in a fixed order, each as soon as it is known; it ends early at an error
    that prevents the remaining checks. The adapter passes if every finding is ``ok``.
    """
    yield (first := _attempt("found", partial(_found, name), f"{name} is an Adapter"))
    if not first.ok:
        return
    cls = find(name)
    light = partial(_heavy, cls.__module__)
    yield _attempt("import is light", light, "no deep-learning library loaded")
    for rule, action, good in (
        ("info", partial(_info, cls), "all fields are valid"),
        ("options", partial(_options, cls, options), "read, shared, strict"),
    ):
        yield (first := _attempt(rule, action, good))
        if not first.ok:
            return
    wanted = [kind for kind in cls.info.prompts if kind in kinds]
    if not wanted:
        takes = f"one of the prompts that it takes, {', '.join(cls.info.prompts)}"
        yield Finding("prompts", False, fault(takes, ", ".join(kinds), "ask for one of them"))
        return
    adapter = cls(options)
    needs = _attempt("requirements", partial(_requirements, adapter), "none is missing")
    if not needs.ok:
        yield needs
        return
    with tempfile.TemporaryDirectory(prefix="pambench-") as folder:
        if isinstance(adapter, Learner):
            start, weights = weights, Path(folder) / "work"
            cases = synthetic_cases(Path(folder) / "cases")
            for rule, step in _learns(adapter, cases, weights, device, start):
                yield (first := _attempt(rule, step, "done, on synthetic cases"))
                if not first.ok:
                    return
        begun = perf_counter()
        yield (first := _attempt("load", partial(_load, adapter, weights, device), "done"))
        if first.ok:
            on_gpu = device != "cpu" and adapter.resources.gpus > 0
            yield from _segments(adapter, wanted, perf_counter() - begun, on_gpu)


def _attempt(rule: str, action: Callable[[], str | None], good: str) -> Finding:
    """Run ``action``, which returns a fault or None, and turn exceptions into findings."""
    try:
        with preserved_state():
            wrong = action()
    except UserError as error:
        wrong = str(error)
    except INTERRUPTIONS:
        raise
    except METHOD_ERRORS as error:
        wrong = fault("no exception", f"{error_text(error)}, {place(error)}", "fix the adapter")
    return Finding(rule, wrong is None, wrong or good)


def _segments(
    adapter: Adapter, kinds: Sequence[PromptKind], load_s: float, on_gpu: bool
) -> Iterator[Finding]:
    """Check the predictions for every scene with every kind of prompt.

    On a GPU, the order of scattered additions and the choice of algorithms differ from run to run,
    and so do the roundings of sums.
    """
    equal = f"are {ROUNDED}" if on_gpu else "are equal"
    for scene in scenes():
        for kind in kinds:
            every = scene.name == "plain" and kind in ("box2d", "mask2d")
            for axis in (0, 1, 2) if every else (0,):
                trial = Trial(adapter, scene, scene.prompts(kind, axis))
                where = f"{scene.name}, {kind}" + (f", axis {axis}" if every else "")
                first = _attempt(where, trial.first, "")
                yield replace(first, detail=trial.overlap()) if first.ok else first
                if first.ok and scene.name == "plain" and axis == 0:
                    again = partial(trial.again, rounds=on_gpu)
                    yield _attempt(f"two runs, {kind}", again, equal)
                    yield _attempt(f"order, {kind}", trial.order, "answers follow their prompts")
                    arguments = (adapter, scene, trial.prompts())
                    lost = partial(resources.memory_runs_out, *arguments)
                    yield _attempt(f"out of memory, {kind}", lost, "is no answer")
                    kept = partial(resources.memory_is_released, *arguments)
                    yield _attempt(f"memory, {kind}", kept, "is released after a scan")
                    with preserved_state():
                        times = resources.times(*arguments, load_s)
                    yield Finding(f"time, {kind}", True, times)


def _learns(
    learner: Learner, cases: Sequence[Case], folder: Path, device: str, start: Path | None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the steps, with their names, by which a learner is trained in ``folder``."""
    yield "plan", partial(learner.plan, cases, [STRUCTURE], folder)
    yield "fit", partial(learner.fit, folder, device, start)
    yield "fit again, when it is done", partial(learner.fit, folder, device, start)


def _load(adapter: Adapter, weights: Path | None, device: str) -> str | None:
    try:
        adapter.load(weights, device)
    except UserError as error:
        missing = weights is None and "weights" in str(error)
        here = " Here they are named by --weights." if missing else ""
        return f"{error}{here}"
    return None


def _found(name: str) -> None:
    find(name)


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
        return fault("a module that imports by itself", last, f"run: python -c 'import {module}'")
    if loaded := done.stdout.strip():
        step = "move these imports from the top of the file into load and segment"
        return fault("an import without deep-learning libraries", loaded, step)
    return None


def _info(cls: type[Adapter]) -> str | None:
    info = getattr(cls, "info", None)
    if not isinstance(info, MethodInfo):
        return fault("a class attribute info = MethodInfo(...)", repr(info), "add it to the class")
    wrong = []
    if not info.summary.strip() or "\n" in info.summary:
        wrong.append(f"summary is one line of text, not {info.summary!r}")
    if (
        not isinstance(info.prompts, tuple)
        or not info.prompts
        or set(info.prompts) - set(PROMPT_KINDS)
    ):
        wrong.append(
            f"prompts is a tuple of some of {', '.join(PROMPT_KINDS)}, not {info.prompts!r}"
        )
    for field in ("version", "threads", "memory_mb"):
        value = getattr(info, field)
        if not isinstance(value, int) or value < 1:
            wrong.append(f"{field} is a whole number from 1 on, not {value!r}")
    if info.sees_reference != issubclass(cls, ReferenceAdapter):
        wrong.append("sees_reference is true for a ReferenceAdapter and for no other class")
    if info.sees_reference and not info.control:
        wrong.append("what sees the reference is a control, so control must be true")
    return fault("a valid info", "; ".join(wrong), "correct these fields") if wrong else None


def _requirements(adapter: Adapter) -> str | None:
    """Return what is missing; raise what would end a study at its start."""
    adapter.external_state()
    return adapter.missing_requirement()


def _options(cls: type[Adapter], options: Mapping[str, Any] | None) -> str | None:
    try:
        adapter = cls(options)
    except UserError as error:
        return str(error) if options else f"{error} Here they are given by --options, as YAML."
    variant = adapter.with_options({})
    if type(variant) is not cls or variant.options != adapter.options:
        got = f"{type(variant).__name__} with {variant.options}"
        step = "do not override __init__ or with_options; declare fields in Options"
        return fault(f"a variant with the same options, {adapter.options}", got, step)
    try:
        adapter.with_options({"no-such-option": 1})
    except UserError:
        return None
    step = "let the nested Options inherit Adapter.Options unchanged"
    return fault("an unknown option to be refused", "silence", step)
