"""Benchmark time and memory of all metrics against other libraries.

    python -m tests.bench.bench_metrics                 # the tables, as in docs/metrics.md
    python -m tests.bench.bench_metrics --quick         # without the scans of 512 x 512 x 300
    python -m tests.bench.bench_metrics --only lesion   # only the items with this word

All contestants measure each pair of synthetic masks (`scenes`) in turn, in one process per pair,
with one thread. CPU time is the median over rounds (a single one if it takes long); memory is the
peak beyond the masks. Surface distances must equal those of surface-distance. The whole takes about
half an hour, most of it spent in other libraries on large scans.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from benchmark.catalogue import Dataset
from benchmark.metrics import score, score_labels
from benchmark.objects import describe, divide, regions
from tests.bench import peers
from tests.bench.memory import peak_mib
from tests.bench.scenes import (
    FAR,
    ISO,
    ITEMS,
    LARGE,
    LONG,
    SCAN,
    LabelMaps,
    Mask,
    body,
    lesions,
    organ,
)

TOLERANCE_MM = 2.0
ROUNDS = 5
ENOUGH_S = 3.0  # stop repeating once a contestant has taken this long on an item
MOST_GIB = 10  # memory limit of a contestant


class Cost(NamedTuple):
    """CPU milliseconds and peak MiB of one call; infinite if memory did not suffice."""

    ms: float
    mib: float


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
    "numba": partial(ours, "numba"),
    "numpy": partial(ours, "numpy"),
    "surface-distance": partial(peers.surface_distance, TOLERANCE_MM),
    "MONAI": partial(peers.monai, TOLERANCE_MM),
    "MedPy": peers.medpy,
    "SimpleITK": peers.simpleitk,
}
OURS = ("numba", "numpy")
PEERS = [name for name in CONTESTANTS if name not in OURS]


def note(text: str) -> None:
    """Report progress on stderr, apart from the tables."""
    print(text, end="", file=sys.stderr, flush=True)


def keep(values: dict[str, Any], name: str, call: Callable[[], Any]) -> None:
    values[name] = call()


def same(name: str, got: dict[str, float], expected: dict[str, float]) -> None:
    """Raise `ValueError` if a surface metric differs from that of the library."""
    for metric, value in expected.items():
        if not abs(value - got[metric]) <= 1e-9 * max(1.0, value):
            raise ValueError(f"{name}: {metric} is {got[metric]}, that of the library is {value}")


def compete(name: str) -> dict[str, Cost]:
    """Return the cost of one call by contestant; raises if our values differ from the library."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_GIB << 30, MOST_GIB << 30))
    reference, prediction, spacing = ITEMS[name]()
    pair = reference.copy(), prediction.copy(), spacing  # untouched pages of zeros are not resident
    small = (*np.ones((2, 8, 8, 8), np.bool_), spacing)
    times: dict[str, list[float]] = {}
    peak: dict[str, float] = {}
    values: dict[str, Any] = {}
    note(f"{name}:")
    for contestant, call in CONTESTANTS.items():
        call(*small)  # import and compile
        start = process_time()
        try:
            peak[contestant] = peak_mib(partial(keep, values, contestant, partial(call, *pair)))
        except (MemoryError, RuntimeError):
            note(f" {contestant} out of memory")
            continue
        times[contestant] = [(process_time() - start) * 1000]
        note(f" {contestant} {times[contestant][0] / 1000:.1f} s")
    note("\n")
    for engine in OURS:
        same(f"{name}, {engine}", values[engine], values["surface-distance"])
    for _ in range(ROUNDS):
        for contestant, taken in times.items():
            if sum(taken) > ENOUGH_S * 1000:
                continue
            calls, start = 0, process_time()
            while calls == 0 or process_time() - start < 0.03:
                CONTESTANTS[contestant](*pair)
                calls += 1
            taken.append((process_time() - start) * 1000 / calls)
    return {
        contestant: Cost(median(times[contestant]), peak[contestant])
        if contestant in times
        else Cost(float("inf"), float("inf"))
        for contestant in CONTESTANTS
    }


def compared(items: list[str]) -> None:
    """Print one row per item, and the sums over items of native size, large size and far apart."""
    head = [f"{name} ms" for name in CONTESTANTS]
    line(["masks, z x y x x", *head, "over surface-distance", "over the fastest peer", "MiB"])
    print("|---|" + "---:|" * (len(CONTESTANTS) + 3))
    kinds: dict[str, list[dict[str, Cost]]] = {"native sizes": [], "512 x 512": [], "far apart": []}
    for name in items:
        cost = alone(compete, name)
        kind = "far apart" if name in FAR else "512 x 512" if "512" in name else "native sizes"
        kinds[kind].append(cost)
        row(name, cost)
    for kind, costs in kinds.items():
        if len(costs) > 1:
            together = {name: added([cost[name] for cost in costs]) for name in CONTESTANTS}
            row(f"{kind}, together", together)


def added(costs: list[Cost]) -> Cost:
    return Cost(sum(cost.ms for cost in costs), max(cost.mib for cost in costs))


def row(name: str, cost: dict[str, Cost]) -> None:
    mine = cost["numba"]
    fastest = min(cost[peer].ms for peer in PEERS)
    ratios = [f"{ms / mine.ms:.1f}" for ms in (cost["surface-distance"].ms, fastest)]
    line([name, *(in_ms(of.ms) for of in cost.values()), *ratios, f"{mine.mib:,.0f}"])


def in_ms(ms: float) -> str:
    if ms == float("inf"):
        return f"over {MOST_GIB} GiB"
    return f"{ms:,.{2 if ms < 1 else 1 if ms < 100 else 0}f}"


def all_labels(maps: LabelMaps, threads: int = 1) -> dict[int, dict[str, float]]:
    tolerances = dict.fromkeys(range(1, int(maps.max()) + 1), TOLERANCE_MM)
    return score_labels(
        maps[0], maps[1], LARGE, tolerances=tolerances, engine="numba", threads=threads
    )


def one_pass(shape: tuple[int, int, int]) -> tuple[float, float, float]:
    """Return CPU seconds of the library and of one pass over all labels, and the latter's MiB."""
    warnings.simplefilter("ignore")
    maps = body(shape)
    found = all_labels(maps)  # compile
    peak = peak_mib(partial(all_labels, maps))
    taken = cpu_ms(partial(all_labels, maps), ROUNDS)
    library = 0.0
    for label, values in found.items():
        pair = maps[0] == label, maps[1] == label
        start = process_time()
        expected = peers.surface_distance(TOLERANCE_MM, *pair, LARGE)
        library += process_time() - start
        same(f"label {label}", values, expected)
    return library, taken / 1000, peak


def cpu_ms(call: Callable[[], object], rounds: int = 3) -> float:
    """Return the median CPU time of ``call`` in milliseconds."""
    taken = []
    for _ in range(rounds):
        start = process_time()
        call()
        taken.append((process_time() - start) * 1000)
    return median(taken)


def growth() -> list[list[str]]:
    """Measure CPU time by voxels of an organ, and by number of labels and lesions in a scan."""
    rows = []

    def grows(what: str, call: Callable[[], object], rounds: int = 3) -> None:
        note(f"{what}\n")
        rows.append([what, f"{cpu_ms(call, rounds):,.1f}"])

    for size in (50, 100, 200, 300):
        pair: tuple[Mask, Mask] = organ((size, size, size), 8)
        ours("numba", *pair, ISO)  # compile
        grows(f"metrics of an organ in {size}^3 voxels", partial(ours, "numba", *pair, ISO))
    for organs in (4, 24, 64):
        maps = body((150, 256, 256), organs)
        grows(
            f"metrics of {organs + 26} labels in 150 x 256 x 256 voxels", partial(all_labels, maps)
        )
    for number in (10, 100, 1000):
        labels = lesions(LONG, number, 9)[0].astype(np.uint8)
        what = f"table of {number} lesions in 500 x 512 x 512 voxels"
        grows(what, partial(table_of_objects, labels), 1)
    return rows


def table_of_objects(labels: LabelMaps) -> None:
    """Separate the lesions and describe each."""
    entry: dict[str, Any] = {
        "id": "L01",
        "name": "Lesions",
        "split": "local",
        "modality": "CT",
        "source": {"kind": "local", "path": "nowhere"},
        "layout": {"image": "{scan}.nii.gz", "label": "{scan}_label.nii.gz"},
        "labels": {1: "lesion"},
    }
    dataset = Dataset.read(entry, "the bench's entry")
    z, y, x = labels.shape
    for item in divide(regions(labels, dataset), dataset, (z, y, x)):
        describe(item, LARGE, axis=0)


def threads(shape: tuple[int, int, int]) -> list[float]:
    """Return the best wall-clock seconds of one pass with one and with two threads."""
    maps = body(shape)
    all_labels(maps)  # compile
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3 * ROUNDS):
        for number, taken in walls.items():
            start = perf_counter()
            all_labels(maps, number)
            taken.append(perf_counter() - start)
    return [min(taken) for taken in walls.values()]


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def line(cells: list[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="All metrics beside other libraries.")
    parser.add_argument("--quick", action="store_true", help="no scans of 512 x 512 x 300")
    parser.add_argument("--only", metavar="WORD", help="the items with this word, nothing else")
    options = parser.parse_args()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    items = [name for name in ITEMS if not (options.quick and "512" in name)]
    compared([name for name in items if (options.only or "") in name])
    if options.only:
        return
    shape = (100, 200, 200) if options.quick else SCAN
    library, one, peak = alone(one_pass, shape)
    print(f"\n40 labels in {shape}: library {library:.1f} s, one pass {one:.3f} s, ", end="")
    print(f"ratio {library / one:.0f}, {peak:.0f} MiB")
    print(
        "wall seconds with one and with two threads: {:.3f}, {:.3f}\n".format(
            *alone(threads, shape)
        )
    )
    line(["one thread", "CPU ms"])
    print("|---|---:|")
    for cells in alone(growth):
        line(cells)


if __name__ == "__main__":
    main()
