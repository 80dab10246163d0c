"""Segment the prompts of a scan, whatever the method does: isolate each prompt that fails."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from benchmark.adapter import Adapter, Prediction
from benchmark.errors import UserError, reason_of
from benchmark.machine.device import release_memory
from benchmark.machine.machine_errors import METHOD_ERRORS, advice, raise_if_machine_error
from benchmark.masks import Mask, Shape
from benchmark.prompts import Prompt
from benchmark.volume import Volume

Answer = dict[str, int | bytes] | str
"""A mask as `Mask.to_row` compresses it, or why there is none.

The dense masks of all objects and deviations of a scan may not fit into memory together.
"""


def segment_prompts(adapter: Adapter, scan: Volume, prompts: Sequence[Prompt]) -> list[Answer]:
    """Return a mask or the reason of its failure for each prompt, whatever the adapter does.

    When the adapter raises, the prompts without an answer are run in two halves, recursively: what
    did not fit into memory together may fit apart, and each failure is assigned to the prompt that
    caused it. All prompts are run again like this if the number of predictions is wrong, because
    then none can be matched to its prompt. An exception after the last answer is ignored.
    """
    answers: list[Answer] = []
    failure = _until_failure(adapter, scan, prompts, answers)
    if failure is None or len(answers) == len(prompts):
        return answers
    if len(prompts) == 1:
        return [failure]
    release_memory()  # not in `except`: its traceback keeps the method's memory alive
    rest = prompts[len(answers) :]
    half = (len(rest) + 1) // 2
    for part in filter(len, (rest[:half], rest[half:])):
        answers += segment_prompts(adapter, scan, part)
    return answers


def _until_failure(
    adapter: Adapter, scan: Volume, prompts: Sequence[Prompt], answers: list[Answer]
) -> str | None:
    """Append to ``answers`` until the method fails; return the reason, or None if it does not."""
    try:
        with preserved_state():
            # Its own list, which it may empty or sort.
            for prediction in islice(adapter.segment(scan, list(prompts)), len(prompts) + 1):
                found = validated_mask(prediction, scan.shape)
                answers.append(found.to_row() if isinstance(found, Mask) else found)
        if len(answers) != len(prompts):
            count = len(answers) if len(answers) < len(prompts) else f"more than {len(prompts)}"
            answers.clear()
            raise ValueError(f"expected {len(prompts)} predictions, one per prompt; got {count}")
    except METHOD_ERRORS as error:
        raise_if_machine_error(error)
        print_traceback(error)
        return error_text(error) + (advice(error) if len(prompts) == 1 else "")
    return None


@contextmanager
def preserved_state() -> Iterator[None]:
    """Restore at the end what a method may change and the rest of the job uses too.

    That is the working folder, because the paths of a job are relative, the umask of its files, and
    the streams of its messages.
    """
    umask = os.umask(0)
    os.umask(umask)
    streams = sys.stdout, sys.stderr
    with chdir(Path.cwd()):
        try:
            yield
        finally:
            os.umask(umask)
            sys.stdout, sys.stderr = streams


def validated_mask(prediction: Prediction, shape: Shape) -> Mask | str:
    """Return the mask of a prediction on a grid of ``shape``, or why there is none."""
    if prediction.mask is None:
        return prediction.failure or "neither a mask nor a reason was given"
    array = np.asarray(prediction.mask)
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        got = f"{array.dtype} from {array.min()} to {array.max()}"
        return f"the mask must be bool or 0 and 1, got {got}"
    if prediction.offset is None and array.shape != shape:
        return f"the mask must have the shape {shape} of the volume, got {array.shape}"
    offset = (0, 0, 0) if prediction.offset is None else tuple(prediction.offset)
    if len(offset) != 3 or any(n != int(n) for n in offset):
        return f"the offset must be three whole numbers (z, y, x), got {offset}"
    try:
        z, y, x = map(int, offset)
        return Mask.of(array, offset=(z, y, x), shape=shape)
    except ValueError as error:
        return str(error)


def print_traceback(error: BaseException) -> None:
    """Print where a method failed to stderr, which is the log of a job; each failure only once.

    A `UserError` needs none: its message says what is wrong.
    """
    if not isinstance(error, UserError):
        _print_once("".join(traceback.format_exception(error)))


@lru_cache(maxsize=1000)
def _print_once(text: str) -> None:
    print(text, end="", file=sys.stderr)


def error_text(error: BaseException) -> str:
    """Return the reason that an exception of a method gives for a failure, fit to be stored."""
    return reason_of(f"{type(error).__name__}: {error}")
