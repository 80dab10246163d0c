"""Benchmark PAM's propagation against an unoptimised implementation of the released flow.

    python -m tests.bench.bench_pam                       # full size, as in docs/pam.md; minutes
    python -m tests.bench.bench_pam --threads 2
    python -m tests.bench.bench_pam --weights FOLDER      # DSC on the phantoms as well

The network has the released size and deterministic synthetic weights, with heads fitted so that it
follows the object of the recorded volume (``tests/pam/golden``). Each flow runs in its own process,
one after the other. The script ends with an error if `released` does not give the yardstick's mask.
"""

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark import phantoms
from benchmark.machine.precision import Precision
from pam import checkpoints
from pam.network import PropMask
from pam.preprocess import Scan
from pam.presets import PRESETS, preset
from pam.propagation import propagate
from pam.weight_files import read_network
from tests.bench import pam_yardstick
from tests.bench.memory import peak_mib
from tests.pam.conftest import GOLDEN, filled, read_inventory

Mask = NDArray[np.bool_]
PHANTOMS = ("ct-organs", "ct-liver-tumours", "ct-low-contrast", "mr-glioma")


class Case(NamedTuple):
    """A CT volume (z, y, x), its slice spacing in mm, guiding slice, prompt and reference mask."""

    volume: NDArray[np.int16]
    spacing: float
    guide: int
    prompt: Mask
    truth: Mask


def recorded() -> Case:
    """Return the volume that the heads were fitted on, whose object spans all 24 slices."""
    with (
        np.load(GOLDEN / "propagation.npz") as file,
        np.load(Path(__file__).with_name("pam_truth.npz")) as more,
    ):
        volume = file[str(file["propagate_ct/volume_of"]) + "/volume"]
        prompt, truth = (
            np.unpackbits(packed)[: volume.size].reshape(volume.shape).astype(np.bool_)
            for packed in (file["propagate_ct/prompt_packbits"], more["gt_packbits"])
        )
        index = int(file["propagate_ct/guiding_z"])
        return Case(volume, float(file["propagate_ct/spacing_z"]), index, prompt[index], truth)


def full_size() -> PropMask:
    """Return PropMask with the weights of the recorded run."""
    weights = filled(read_inventory()["propmask"])
    with np.load(GOLDEN / "propagation.npz") as file:
        heads = {key: file[key] for key in file if key.startswith("readout/")}
    for key, value in heads.items():
        weights[key.removeprefix("readout/")] = torch.from_numpy(value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "released.pth"
        torch.save(weights, path)
        return checkpoints.load_released(path, PropMask)


def yardstick(network: PropMask, case: Case) -> Mask:
    return pam_yardstick.propagate(network, case.volume, case.guide, case.prompt, case.spacing)


def ours(
    network: PropMask, case: Case, name: str = "released", precision: Precision = "float32"
) -> Mask:
    scan = Scan(case.volume, (case.spacing, 1.0, 1.0), "CT")
    where = {"batch": 2, "precision": precision}
    return propagate(network, scan, case.guide, case.prompt, PRESETS[name], **where)  # type: ignore[arg-type]


FLOWS: dict[str, Callable[[PropMask, Case], Mask]] = {
    "yardstick": yardstick,
    "released": ours,
    "rigorous": partial(ours, name="rigorous"),
    "rigorous, bfloat16": partial(ours, name="rigorous", precision="bfloat16"),
}


def dsc(a: Mask, b: Mask) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


class Cost(NamedTuple):
    """CPU seconds, the system time among them, and peak MiB beyond the input."""

    seconds: float
    system: float
    peak: float
    mask: Mask

    @property
    def own(self) -> float:
        """CPU seconds without system time, in which the cost of memory varies between machines."""
        return self.seconds - self.system


def measure(flow: str, threads: int) -> Cost:
    """Run a flow once; the memory of volume and weights is not counted."""
    torch.set_num_threads(threads)
    network, case = full_size(), recorded()
    run = partial(FLOWS[flow], network, case)
    with torch.inference_mode():  # initialises the libraries that torch uses
        pam_yardstick.forward(
            network, *(torch.zeros(1, 1, 64, 64),) * 2, torch.zeros(1, 1, 1, 64, 64)
        )
    masks: list[Mask] = []
    start = os.times()
    peak = peak_mib(lambda: masks.append(run()))
    end = os.times()
    system = end.system - start.system
    return Cost(end.user - start.user + system, system, peak, masks[0])


def on_phantoms(weights: Path) -> dict[str, float]:
    """Return the mean DSC of two presets over all objects of a few phantoms."""
    network = read_network(weights, PropMask)
    found: dict[str, list[float]] = {"released": [], "rigorous": []}
    for recipe in PHANTOMS:
        _, patient = phantoms.make(recipe, 1, 0)
        scan = next(iter(patient.scans.values()))
        image = next(iter(scan.images.values()))
        modality = "CT" if recipe.startswith("ct") else "MR"
        shown = Scan(image, scan.spacing, modality)
        for label in np.unique(scan.labels)[1:]:
            truth = scan.labels == label
            index = int(truth.sum(axis=(1, 2)).argmax())
            for name, scores in found.items():
                settings = preset(name, network.config.inference)
                mask = propagate(network, shown, index, truth[index], settings, batch=4)
                scores.append(dsc(mask, truth))
    return {name: float(np.mean(scores)) for name, scores in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="PAM's propagation beside the released flow.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="the best of them counts")
    parser.add_argument("--weights", type=Path, help="trained weights, for the DSC on phantoms")
    options = parser.parse_args()
    truth = recorded().truth
    costs: dict[str, list[Cost]] = {flow: [] for flow in FLOWS}
    for _ in range(options.rounds):  # interleaved, against slow minutes of the machine
        for flow, found in costs.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found.append(pool.apply(measure, (flow, options.threads)))
    print("| flow | CPU s | ratio | without the system's | ratio | MiB | ratio | DSC |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    best = {flow: min(found, key=lambda cost: cost.seconds) for flow, found in costs.items()}
    first = best["yardstick"]
    if not np.array_equal(best["released"].mask, first.mask):
        raise SystemExit("the mask of released is not the yardstick's")
    for flow, cost in best.items():
        cells = [
            *(f"{cost.seconds:.1f}", f"{first.seconds / cost.seconds:.2f}"),
            *(f"{cost.own:.1f}", f"{first.own / cost.own:.2f}"),
            *(f"{cost.peak:,.0f}", f"{first.peak / cost.peak:.1f}"),
        ]
        print("| " + " | ".join([flow, *cells, f"{dsc(cost.mask, truth):.3f}"]) + " |")
    if options.weights:
        scores = on_phantoms(options.weights)
        told = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
        print(f"\nMean DSC on phantoms, with {options.weights}: {told}")


if __name__ == "__main__":
    main()
