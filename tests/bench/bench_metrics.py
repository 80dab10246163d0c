"""Time and memory of the surface metrics beside google-deepmind/surface-distance.

    python tests/bench/bench_metrics.py            # the table, as in docs/metrics.md
    python tests/bench/bench_metrics.py --quick    # without the scans of 512 x 512 x 300

Made masks; each pair is measured by all engines in turn, in a process of its own, with one thread.
CPU time is the median of the rounds; memory is the peak beside the masks, in a further round.
"""

import argparse
import ctypes
import multiprocessing
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from benchmark.metrics import Engine, surface_metrics

Mask = NDArray[np.bool_]
Pair = tuple[Mask, Mask, tuple[float, float, float]]
ENGINES: tuple[Engine, ...] = tuple(name for name in get_args(Engine) if name != "auto")
TOLERANCE_MM = 2.0
ROUNDS = 5
ENOUGH_S = 3.0  # of one engine and one item; the library takes far more on the largest


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radii: tuple[float, ...]) -> Mask:
    """An ellipsoid, in voxels."""
    axes = np.ogrid[tuple(slice(0, size) for size in shape)]
    terms = [((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)]
    return np.asarray(terms[0] + terms[1] + terms[2] <= 1)


def organ(shape: tuple[int, int, int], seed: int) -> tuple[Mask, Mask]:
    """A lobed ellipsoid of three fifths of ``shape``, and the same with a wavy border."""
    rng = np.random.default_rng(seed)
    axes: Any = np.ogrid[tuple(slice(-1, 1, complex(size)) for size in shape)]
    z, y, x = ((axis / 0.6) ** 2 for axis in axes)
    level = z + y + x

    def wave(coarse: int, strength: float) -> NDArray[np.float32]:
        field = gaussian_filter(rng.standard_normal((coarse,) * 3), 1).astype(np.float32)
        steps = [size / coarse for size in shape]
        return np.asarray(zoom(field, steps, order=1) * strength, np.float32)

    lobes = level + wave(8, 1.0)
    return lobes <= 1, lobes + wave(24, 0.4) <= 1


def vessels(shape: tuple[int, int, int], seed: int) -> tuple[Mask, Mask]:
    """Random walks of 2 and of 3 voxels radius, the second without its last quarter."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, *shape), np.bool_)
    stamps = [ball((9, 9, 9), (4, 4, 4), (r, r, r)) for r in (2, 3)]
    for _ in range(12):
        place, heading = np.array(shape) / 2, rng.standard_normal(3)
        for step in range(200):
            heading += 0.3 * rng.standard_normal(3)
            place = np.clip(place + heading / np.linalg.norm(heading), 5, np.array(shape) - 6)
            box = tuple(slice(int(p) - 4, int(p) + 5) for p in place)
            masks[0][box] |= stamps[0]
            if step < 150:
                masks[1][box] |= stamps[1]
    return masks[0], masks[1]


def lesions(shape: tuple[int, int, int], number: int, seed: int) -> tuple[Mask, Mask]:
    """Balls of 3 to 10 voxels; the prediction moves each by up to two voxels."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, *shape), np.bool_)
    for _ in range(number):
        corner = rng.integers(2, np.array(shape) - 27)
        radius = rng.uniform(3, 10)
        for mask, moved in zip(masks, (corner, corner + rng.integers(-2, 3, 3)), strict=True):
            box = tuple(slice(c, c + 25) for c in moved)
            mask[box] |= ball((25, 25, 25), (12, 12, 12), (radius, radius, radius))
    return masks[0], masks[1]


def one_lesion(shape: tuple[int, int, int]) -> tuple[Mask, Mask]:
    reference, prediction = np.zeros((2, *shape), np.bool_)
    centre = tuple(size // 2 for size in shape)
    for mask, shift in ((reference, 0), (prediction, 2)):
        box = tuple(slice(c - 7, c + 8) for c in centre)
        mask[box] = ball((15, 15, 15), (7, 7 + shift, 7), (5, 5, 5))
    return reference, prediction


def voxel_and_ball(size: int) -> tuple[Mask, Mask]:
    one = np.zeros((size,) * 3, np.bool_)
    one[2, 2, 2] = True
    return one, ball(one.shape, (size / 2,) * 3, (size / 2.2,) * 3)


ISO, CT, LARGE = (1.5, 1.5, 1.5), (5.0, 0.7, 0.7), (1.0, 0.75, 0.75)
SCAN = (300, 512, 512)
ITEMS: dict[str, Callable[[], Pair]] = {
    "lesion of 5 voxels, its crop": lambda: (*one_lesion((16, 18, 16)), ISO),
    "one voxel against a ball": lambda: (*voxel_and_ball(40), ISO),
    "organ, 80 x 90 x 70": lambda: (*organ((80, 90, 70), 1), ISO),
    "organ, 40 x 200 x 200, 5 mm slices": lambda: (*organ((40, 200, 200), 2), CT),
    "vessel tree, 120 x 120 x 120": lambda: (*vessels((120, 120, 120), 3), ISO),
    "25 lesions, 100 x 200 x 200": lambda: (*lesions((100, 200, 200), 25, 4), ISO),
    "organ, 150 x 300 x 300": lambda: (*organ((150, 300, 300), 5), LARGE),
    "organ, 300 x 512 x 512": lambda: (*organ(SCAN, 7), LARGE),
    "lesion of 5 voxels, 300 x 512 x 512": lambda: (*one_lesion(SCAN), LARGE),
    "25 lesions, 300 x 512 x 512": lambda: (*lesions(SCAN, 25, 6), LARGE),
}


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


def measure(name: str) -> dict[Engine, tuple[float, float]]:
    """CPU milliseconds and peak MiB of one call by engine; the engines must agree."""
    reference, prediction, spacing = ITEMS[name]()
    masks = reference.copy(), prediction.copy()  # zeros never written to are not in memory
    values: dict[Engine, dict[str, float]] = {}

    def call(engine: Engine) -> None:
        values[engine] = surface_metrics(*masks, spacing, TOLERANCE_MM, engine=engine)

    small = np.ones((8, 8, 8), np.bool_)
    peak: dict[Engine, float] = {}
    times: dict[Engine, list[float]] = {engine: [] for engine in ENGINES}
    for engine in ENGINES:
        surface_metrics(small, small, spacing, TOLERANCE_MM, engine=engine)  # imports
        if engine == "numba":
            call(engine)  # compiles, where that is not done
        start = process_time()
        peak[engine] = peak_mib(partial(call, engine))
        times[engine].append((process_time() - start) * 1000)
    for engine, value in values.items():
        for metric, expected in values["reference"].items():
            if not abs(value[metric] - expected) <= 1e-9 * max(1.0, abs(expected)):
                raise SystemExit(f"{name}: {metric} of {engine} is not that of the library")
    for _ in range(ROUNDS):
        for engine in ENGINES:
            if sum(times[engine]) > ENOUGH_S * 1000:
                continue
            calls, start = 0, process_time()
            while calls == 0 or process_time() - start < 0.03:
                call(engine)
                calls += 1
            times[engine].append((process_time() - start) * 1000 / calls)
    return {engine: (median(times[engine]), peak[engine]) for engine in ENGINES}


def main() -> None:
    parser = argparse.ArgumentParser(description="Surface metrics beside surface-distance.")
    parser.add_argument("--quick", action="store_true", help="no scans of 512 x 512 x 300")
    quick = parser.parse_args().quick
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    columns = ["masks, z x y x x"]
    columns += [f"{engine} ms" for engine in ENGINES]
    columns += [f"{engine} ratio" for engine in ENGINES[1:]]
    columns += [f"{engine} MiB" for engine in ENGINES]
    print("| " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * (len(columns) - 1))
    for name in ITEMS:
        if quick and "512" in name:
            continue
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            cost = pool.apply(measure, (name,))
        cells = [f"{cost[engine][0]:,.{1 if cost[engine][0] < 100 else 0}f}" for engine in ENGINES]
        cells += [f"{cost['reference'][0] / cost[engine][0]:.1f}" for engine in ENGINES[1:]]
        cells += [f"{cost[engine][1]:,.0f}" for engine in ENGINES]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
