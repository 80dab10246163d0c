"""Time and memory of all metrics beside other libraries.

    python -m tests.bench.bench_metrics            # the tables, as in docs/metrics.md
    python -m tests.bench.bench_metrics --quick    # without the scans of 512 x 512 x 300

Made masks (`scenes`); each pair is measured by all contestants in turn, in a process of its own,
with one thread. CPU time is the median of the rounds; memory is the peak beside the masks, in a
further round. What takes long is done once. Surface distances must be those of the library.
"""

import argparse
import ctypes
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmark.metrics import score, score_labels
from tests.bench import peers
from tests.bench.scenes import ISO, ITEMS, LARGE, SCAN, LabelMaps, Mask, body, organ

TOLERANCE_MM = 2.0
ROUNDS = 5
ENOUGH_S = 3.0  # of one contestant and one item
SLOW = ("MONAI", "MedPy", "SimpleITK")  # take up to minutes, and gigabytes
TOO_LARGE = 20_000_000  # voxels


def peak_mib(run: Callable[[], object]) -> float:
    """Peak of the resident memory over what is there before, in MiB; NaN but on Linux."""

    def resident(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))

    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the engine before it has freed
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = resident("VmRSS")
    except OSError:
        run()
        return float("nan")
    run()
    return resident("VmHWM") - before


def ours(engine: Any, *pair: Any) -> dict[str, float]:
    reference, prediction, spacing = pair
    return score(
        reference,
        prediction,
        spacing,
        grid_voxels=reference.size,
        tolerance_mm=TOLERANCE_MM,
        engine=engine,
    )


CONTESTANTS: dict[str, Callable[..., Any]] = {
    "surface-distance": partial(peers.surface_distance, TOLERANCE_MM),
    "numba": partial(ours, "numba"),
    "numpy": partial(ours, "numpy"),
    "MONAI": partial(peers.monai, TOLERANCE_MM),
    "MedPy": peers.medpy,
    "SimpleITK": peers.simpleitk,
}


def compete(name: str) -> dict[str, tuple[float, float]]:
    """CPU milliseconds and peak MiB of one call by contestant; ours must agree with the library."""
    warnings.simplefilter("ignore")
    reference, prediction, spacing = ITEMS[name]()
    pair = reference.copy(), prediction.copy(), spacing  # zeros never written to are not in memory
    small = (*np.ones((2, 8, 8, 8), np.bool_), spacing)
    times: dict[str, list[float]] = {}
    peak, values = {}, {}
    for contestant, call in CONTESTANTS.items():
        if contestant in SLOW and reference.size > TOO_LARGE:
            continue
        call(*small)  # imports
        if contestant == "numba":
            call(*pair)  # compiles, where that is not done
        start = process_time()
        peak[contestant] = peak_mib(partial(call, *pair))
        times[contestant] = [(process_time() - start) * 1000]
        values[contestant] = call(*pair) if times[contestant][0] < 1000 else None
    for engine in ("numba", "numpy"):
        expected = values["surface-distance"] or CONTESTANTS["surface-distance"](*pair)
        for metric, value in (values[engine] or CONTESTANTS[engine](*pair)).items():
            if metric in expected and not abs(value - expected[metric]) <= 1e-9 * max(1.0, value):
                raise SystemExit(f"{name}: {metric} of {engine} is not that of the library")
    for _ in range(ROUNDS):
        for contestant, taken in times.items():
            if sum(taken) > ENOUGH_S * 1000:
                continue
            calls, start = 0, process_time()
            while calls == 0 or process_time() - start < 0.03:
                CONTESTANTS[contestant](*pair)
                calls += 1
            taken.append((process_time() - start) * 1000 / calls)
    return {contestant: (median(taken), peak[contestant]) for contestant, taken in times.items()}


def all_labels(maps: LabelMaps, threads: int = 1) -> dict[int, dict[str, float]]:
    tolerances = dict.fromkeys(range(1, int(maps.max()) + 1), TOLERANCE_MM)
    return score_labels(
        maps[0], maps[1], LARGE, tolerances=tolerances, engine="numba", threads=threads
    )


def one_pass(shape: tuple[int, int, int]) -> tuple[float, float, float]:
    """CPU seconds of the library label by label, of the one pass; peak MiB of the latter."""
    warnings.simplefilter("ignore")
    maps = body(shape)
    found = all_labels(maps)  # compiles
    peak = peak_mib(partial(all_labels, maps))
    taken = []
    for _ in range(ROUNDS):
        start = process_time()
        all_labels(maps)
        taken.append(process_time() - start)
    library = 0.0
    for label, values in found.items():
        pair = maps[0] == label, maps[1] == label
        start = process_time()
        expected = peers.surface_distance(TOLERANCE_MM, *pair, LARGE)
        library += process_time() - start
        for metric, value in expected.items():
            if not abs(value - values[metric]) <= 1e-9 * max(1.0, value):
                raise SystemExit(f"label {label}: {metric} is not that of the library")
    return library, median(taken), peak


def growth() -> Iterator[list[str]]:
    """CPU time over voxels of one organ, and over the number of labels of a scan."""
    for size in (50, 100, 200, 300):
        pair: tuple[Mask, Mask] = organ((size, size, size), 8)
        ours("numba", *pair, ISO)
        taken = []
        for _ in range(3):
            start = process_time()
            ours("numba", *pair, ISO)
            taken.append(process_time() - start)
        yield [f"organ in {size}^3 voxels", f"{median(taken) * 1000:,.1f}"]
    for organs in (4, 24, 64):
        maps = body((150, 256, 256), organs)
        taken = []
        for _ in range(3):
            start = process_time()
            all_labels(maps)
            taken.append(process_time() - start)
        yield [f"{organs + 26} labels in 150 x 256 x 256", f"{median(taken) * 1000:,.1f}"]


def threads(shape: tuple[int, int, int]) -> list[float]:
    """Best wall seconds of the one pass with one and with two threads."""
    maps = body(shape)
    best = []
    for number in (1, 2):
        walls = []
        for _ in range(ROUNDS):
            start = perf_counter()
            all_labels(maps, number)
            walls.append(perf_counter() - start)
        best.append(min(walls))
    return best


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def line(cells: list[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="All metrics beside other libraries.")
    parser.add_argument("--quick", action="store_true", help="no scans of 512 x 512 x 300")
    quick = parser.parse_args().quick
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    line(["masks, z x y x x", *(f"{name} ms" for name in CONTESTANTS), "numba ratio", "numba MiB"])
    print("|---|" + "---:|" * (len(CONTESTANTS) + 2))
    for name in ITEMS:
        if quick and "512" in name:
            continue
        cost = alone(compete, name)
        cells = [
            f"{cost[c][0]:,.{1 if cost[c][0] < 100 else 0}f}" if c in cost else ""
            for c in CONTESTANTS
        ]
        ratio = cost["surface-distance"][0] / cost["numba"][0]
        line([name, *cells, f"{ratio:.1f}", f"{cost['numba'][1]:,.0f}"])
    shape = (100, 200, 200) if quick else SCAN
    library, one, peak = alone(one_pass, shape)
    print(f"\n40 labels in {shape}: library {library:.1f} s, one pass {one:.3f} s, ", end="")
    print(f"ratio {library / one:.0f}, {peak:.0f} MiB")
    print(f"one and two threads, wall: {alone(threads, shape)}\n")
    line(["one thread", "CPU ms"])
    print("|---|---:|")
    for cells in alone(list_growth):
        line(cells)


def list_growth() -> list[list[str]]:
    return list(growth())


if __name__ == "__main__":
    main()
