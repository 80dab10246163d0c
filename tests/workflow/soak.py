"""Soak test: rounds of a tiny study, each with one fault at a random moment.

A plain rerun after the fault must give the scores of an undisturbed run, or refuse with the name of
a file to delete, which the test then does. Different scores, a traceback or a hang fail the round.
Run it with ``make soak N=50``. A round depends on its seed alone, so that a failure can be
repeated: ``make soak N=1 SEED=17``.
"""

import argparse
import contextlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from benchmark.errors import UserError
from tests.workflow.conftest import METHODS, Workplace, entry
from tests.workflow.faults import FAULTS, PATIENCE_S, TARGET, Disturbed, SkippedError

TAILS = (
    ("results/small/scores.parquet", "results/runs/*/scores-*/A"),
    ("results/runs", "results/small"),
    ("data/A/objects.parquet", "results"),
    ("data", "results", ".snakemake"),
)
"""Parts of a finished study that are deleted before a round, so that there is work to do."""


class SoakError(Exception):
    """A round did not end in one of the permitted ways."""


def make_place(folder: Path, *, least: bool = False) -> Workplace:
    """Return a study, not yet run, of one dataset in two shards with two methods.

    With ``least``, it has one shard and one method.
    """
    place = Workplace(folder)
    (folder / "mymethods.py").write_text(METHODS, encoding="utf-8")
    for number in (1, 2, 3):
        place.add_scan("A", f"case{number}", seed=number)
    place.write("A.yaml", entry("A") | {"shards": 1 if least else 2})
    if least:
        slab = {"adapter": "mymethods:Slab", "prompt": "mask2d"}
        place.study(datasets=["A.yaml"], methods={"slab": slab})
    else:
        place.study(datasets=["A.yaml"])
    return place


def undisturbed(folder: Path, *, least: bool = False) -> Workplace:
    """Return the study of `make_place` after an undisturbed run."""
    place = make_place(folder, least=least)
    run = place.run(folder / "small.yaml", "--", TARGET)
    if run.returncode:
        raise SoakError(f"the undisturbed run failed:\n{run.stdout}{run.stderr}")
    return place


def play(finished: Workplace, fault: str, seed: int, folder: Path, tails: int = len(TAILS)) -> str:
    """Run one round in ``folder``, which must not exist; returns the fault and the outcome.

    ``tails`` is the number of `TAILS` to choose from, which delete increasingly much of the study.
    Raises `SoakError` if the round fails.
    """
    chance = random.Random(f"{fault} {seed}")
    shutil.copytree(finished.folder, folder, symlinks=True)
    for pattern in TAILS[min(chance.randrange(tails), chance.randrange(tails))]:  # mostly short
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with contextlib.ExitStack() as closing:
        case = Disturbed(Workplace(folder), folder / "small.yaml", chance, closing)
        try:
            FAULTS[fault](case)
            for printed in case.refused:
                if "Nothing can be written to" not in printed or "Traceback" in printed:
                    raise SoakError(f"no clear refusal while the fault went on:\n{printed}")
            outcome = recover(case, finished)
        except SkippedError as error:
            return f"skipped: {error}"
        except subprocess.TimeoutExpired:
            raise SoakError(f"{case.told}: no end after {PATIENCE_S:.0f} s") from None
        except SoakError as error:
            raise SoakError(f"{case.told}: {error}") from None
    return f"{case.told}: {outcome}"


def recover(case: Disturbed, finished: Workplace) -> str:
    """Rerun as a user would, following the advice of refusals, until the scores are there."""
    steps: list[str] = []
    while len(steps) < 6:
        printed = case.rerun()
        if not printed:
            try:
                pd.testing.assert_frame_equal(case.place.scores(), finished.scores())
            except AssertionError as error:
                raise SoakError(f"OTHER SCORES: {error}") from None
            except UserError as error:  # damaged after it was written
                printed = str(error)
            else:
                return "; ".join([*steps, "equal scores"])
        if "Traceback" in printed:
            raise SoakError(f"a traceback:\n{printed}")
        steps.append(_obey(printed, case))
    raise SoakError(f"no end of refusals: {'; '.join(steps)}")


def _obey(printed: str, case: Disturbed) -> str:
    if "Directory cannot be locked" in printed:
        unlocked = case.place.run(case.study, "--unlock")
        if unlocked.returncode:
            raise SoakError(f"the lock stays:\n{unlocked.stdout}{unlocked.stderr}")
        return "unlocked"
    asked = re.search(r"the next run makes it again: rm (\S+)", printed)
    if asked is None:
        raise SoakError(f"an unclear refusal:\n{printed}")
    (case.place.folder / asked.group(1)).unlink(missing_ok=True)
    return f"refused, {asked.group(1)} deleted"


def main() -> None:
    """Run the rounds; exit with 1 if any of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--fault", choices=FAULTS, help="only this one; by default all in turn")
    asked = parser.parse_args()
    names = [asked.fault] if asked.fault else list(FAULTS)
    failed = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        (finished := Path(folder) / "finished").mkdir()
        place = undisturbed(finished)
        for seed in range(asked.seed, asked.seed + asked.rounds):
            fault, where = names[seed % len(names)], Path(folder) / f"{seed}"
            try:
                told = play(place, fault, seed, where)
            except SoakError as error:
                failed.append(seed)
                told = f"FAILED: {error}"
            print(f"seed {seed}: {fault}: {told}", flush=True)
            shutil.rmtree(where, ignore_errors=True)
    print(f"{asked.rounds - len(failed)} of {asked.rounds} rounds passed")
    if failed:
        sys.exit(f"failed: seeds {', '.join(map(str, failed))}")


if __name__ == "__main__":
    main()
