"""Benchmark time and peak memory of every analysis on generated score tables of growing size.

    python -m tests.bench.bench_analysis [rows ...]        # default: 100000 400000 1600000

Each analysis runs in its own process, as in the workflow. The tables are shaped like those of the
paper's study: 44 datasets, 8 methods, 9 deviations, both levels.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

METHODS = [f"method-{i}" for i in range(8)]
DEVIATIONS = (-0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2)
METRICS = ("dsc", "jaccard", "sensitivity", "specificity", "precision", "nsd")
DISTANCES = ("hd95", "hd", "asd")
SHAPES = ("box_ratio", "convex_ratio", "iri")


def generate(rows: int, folder: Path) -> None:
    """Write scores, objects and times; half of about ``rows`` scores are of objects."""
    rng = np.random.default_rng(0)
    objects = max(rows // (2 * len(METHODS) * len(DEVIATIONS)), 88)
    dataset = np.sort(rng.integers(0, 44, objects))
    scan = np.arange(objects) // 3
    facts = pd.DataFrame(
        {
            "dataset": [f"D{d + 1:02d}" for d in dataset],
            "scan": [f"scan-{d}-{s}" for d, s in zip(dataset, scan, strict=True)],
            "patient": [f"patient-{d}-{s // 2}" for d, s in zip(dataset, scan, strict=True)],
            "structure": [f"structure-{i % 3}" for i in range(objects)],
            "object": [f"object-{i}" for i in range(objects)],
            "split": np.where(dataset < 34, "internal", "external"),
            "modality": np.array(["CT", "MR", "PET-CT"])[dataset % 3],
            "collection": [f"C{d // 2}" for d in dataset],
        }
    )
    shapes = {f"{s}_{d}": rng.uniform(0.2, 1, objects) for s in SHAPES for d in ("2d", "3d")}
    sizes = {"volume_mm3": rng.lognormal(8, 2, objects), "slice_mm": rng.uniform(0.5, 5, objects)}
    facts[["dataset", "object"]].assign(**shapes, **sizes).to_parquet(folder / "objects.parquet")
    ability = rng.normal(0.7, 0.15, objects)
    parts = []
    for m, method in enumerate(METHODS):
        for deviation in DEVIATIONS:
            dsc = np.clip(ability + 0.01 * m + rng.normal(0, 0.05, objects), 0, 1)
            values = {name: np.clip(dsc + rng.normal(0, 0.01, objects), 0, 1) for name in METRICS}
            values |= {name: 40 * (1 - dsc) + rng.exponential(1, objects) for name in DISTANCES}
            shift = np.sign(deviation) * rng.integers(0, 4, objects)
            part = facts.assign(method=method, deviation=deviation, variant="", status="ok")
            part = part.assign(prompt="mask2d", shift=shift, contaminated=False, **values)
            parts += [part.assign(level="object"), part.assign(level="structure", object=None)]
    scores = pd.concat(parts, ignore_index=True)
    keys = ["method", "dataset", "scan", "structure", "level", "object", "deviation"]
    scores.drop_duplicates(keys).to_parquet(folder / "scores.parquet")
    times = scores[(scores["level"] == "object") & (scores["deviation"] == 0)]
    times = times[["method", "dataset", "scan", "object", "variant"]].assign(device="cpu")
    seconds = {
        f"{phase}_s": rng.exponential(1, len(times)) for phase in ("load", "read", "segment")
    }
    times.assign(**seconds).to_parquet(folder / "times.parquet")
    (folder / "analysis.yaml").write_text(f"reference: {METHODS[0]}\n", encoding="utf-8")


def run(name: str, takes: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Run one analysis; returns seconds and peak memory in GiB."""
    tables = [part for t in takes for part in (f"--{t}", str(folder / f"{t}.parquet"))]
    settings = ["--settings", str(folder / "analysis.yaml"), "--output", str(folder / "out")]
    code = (
        "from benchmark.cli import app; from benchmark.machine.compute_cost import peak_memory_mb;"
        f"app({['analyse', name, *tables, *settings]!r}, standalone_mode=False);"
        "print(peak_memory_mb())"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, float(done.stdout.split()[-1]) / 2**10


def main(sizes: list[int]) -> None:
    """Print one row per analysis: seconds and memory at each size."""
    from benchmark.analysis import ANALYSES

    chosen = {n: a.takes for n, a in ANALYSES.items() if {"scores", "times"} & set(a.takes)}
    chosen = {n: tuple(t for t in takes if t != "interaction") for n, takes in chosen.items()}
    found: dict[str, list[str]] = {name: [] for name in chosen}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            generate(size, Path(folder))
            rows = len(pd.read_parquet(Path(folder) / "scores.parquet", columns=["dataset"]))
            print(f"{rows} rows", flush=True)
            for name, takes in chosen.items():
                seconds, memory = run(name, takes, Path(folder))
                found[name].append(f"{seconds:.0f} s, {memory:.1f} GB")
                print(f"  {name}: {found[name][-1]}", flush=True)
    print(f"| analysis | {' | '.join(f'{size} rows' for size in sizes)} |")
    for name, cells in found.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100_000, 400_000, 1_600_000])
