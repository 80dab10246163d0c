"""Benchmark PAM's propagation on a GPU against an unoptimised implementation of the released flow.

    python -m tests.bench.bench_pam_gpu                # full size, as in docs/pam.md; minutes
    python -m tests.bench.bench_pam_gpu --device cpu --objects 2 --counts 1 2 --rounds 1

Network and volume are those of `bench_pam`; the volume's object is repeated as often as asked. Like
the released code, the yardstick takes one object at a time, in torch's default single precision
(tf32 on a GPU that has it). The script prints three tables: a growing number of objects in that
volume and in one of the size of a scan, the throughput of the forward pass relative to a matrix
product, and all flows with the same objects, whose masks are compared at the end.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from benchmark.machine import compute_cost
from benchmark.machine.precision import Precision, in_precision
from pam.network import PropMask
from pam.preprocess import Scan
from pam.presets import PRESETS
from pam.propagation import propagate_many
from pam.rounds import ObjectState
from tests.bench import pam_yardstick
from tests.bench.bench_pam import Case, Mask, dsc, full_size, recorded
from tests.bench.memory import peak_mib

Flow = Callable[[PropMask, Case, int], list[Mask]]


class Cost(NamedTuple):
    """Minimum seconds over several rounds, peak MiB beyond volume and weights, and the masks."""

    seconds: float
    mib: float
    masks: list[Mask]


def yardstick(network: PropMask, case: Case, objects: int) -> list[Mask]:
    """Propagate one object after the other."""
    asked = case.volume, case.guide, case.prompt, case.spacing
    return [pam_yardstick.propagate(network, *asked) for _ in range(objects)]


def together(
    network: PropMask,
    case: Case,
    objects: int,
    *,
    name: str = "released",
    precision: Precision = "float32",
    batch: int = 64,
) -> list[Mask]:
    """Propagate all objects together."""
    scan = Scan(case.volume, (case.spacing, 1.0, 1.0), "CT")
    states = [ObjectState(scan, case.guide, case.prompt, PRESETS[name]) for _ in range(objects)]
    device = next(network.parameters()).device
    propagate_many(network, states, device=device, batch=batch, precision=precision)
    return [state.result() for state in states]


FLOWS: dict[str, Flow] = {
    "yardstick": yardstick,
    "released": together,
    "released, tf32": partial(together, precision="tf32"),
    "released, bfloat16": partial(together, precision="bfloat16"),
    "rigorous": partial(together, name="rigorous"),
    "rigorous, bfloat16": partial(together, name="rigorous", precision="bfloat16"),
}


def measure(flow: Flow, network: PropMask, case: Case, number: int, rounds: int) -> Cost:
    """Run a flow, after one object to warm up, and keep the fastest round."""
    flow(network, case, 1)
    masks: list[Mask] = []

    def run() -> None:
        masks[:] = flow(network, case, number)

    if next(network.parameters()).device.type == "cpu":
        mib = peak_mib(run)
    else:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        mib = (torch.cuda.max_memory_allocated() - before) / 2**20
    seconds = []
    for _ in range(rounds):
        start = perf_counter()
        run()  # ends with masks on the CPU, so that no synchronisation is needed
        seconds.append(perf_counter() - start)
    return Cost(min(seconds), mib, masks)


def flows(network: PropMask, case: Case, number: int, rounds: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of all flows.

    After the last one, raises `SystemExit` if the masks of `released` in tf32 are not those of the
    yardstick, or if bfloat16 changes the DSC of a preset by more than 0.002.
    """
    first: Cost | None = None
    truths: dict[str, float] = {}
    wrong = []
    for name, flow in FLOWS.items():
        cost = measure(flow, network, case, number, rounds)
        first = first or cost
        alike = float(np.mean([dsc(*pair) for pair in zip(cost.masks, first.masks, strict=True)]))
        if name == "released, tf32" and alike < 0.999:
            wrong.append(f"the masks of {name} are not the yardstick's: DSC {alike:.4f}")
        truth = float(np.mean([dsc(mask, case.truth) for mask in cost.masks]))
        truths[name] = truth
        exact = truths[name.removesuffix(", bfloat16")]
        if abs(truth - exact) > 0.002:
            wrong.append(f"the DSC of {name} is {truth:.4f}, in float32 {exact:.4f}")
        yield (
            name,
            f"{number / cost.seconds:.2f}",
            f"{first.seconds / cost.seconds:.2f}",
            f"{cost.mib:,.0f}",
            f"{truth:.4f}",
            f"{alike:.4f}",
        )
    if wrong:
        raise SystemExit("; ".join(wrong))


def enlarged(case: Case, shape: tuple[int, int, int]) -> Case:
    """Lay a case into the middle of an empty volume of ``shape``.

    The network sees much the same there; what is slower is all that is done to whole volumes.
    """
    first = [(whole - part) // 2 for whole, part in zip(shape, case.volume.shape, strict=True)]
    here = tuple(
        slice(start, start + part) for start, part in zip(first, case.volume.shape, strict=True)
    )
    volume, truth = np.zeros(shape, case.volume.dtype), np.zeros(shape, np.bool_)
    prompt = np.zeros(shape[1:], np.bool_)
    volume[here], truth[here], prompt[here[1:]] = case.volume, case.truth, case.prompt
    return Case(volume, case.spacing, first[0] + case.guide, prompt, truth)


def counts(
    network: PropMask,
    case: Case,
    numbers: Sequence[int],
    rounds: int,
    shape: tuple[int, int, int] = (240, 512, 512),
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the two fastest flows by number of objects in the scan.

    The last rows are those of `enlarged` to ``shape``: the difference is what a scan costs around
    the network.
    """
    whole = enlarged(case, shape)
    for name, shown in (
        ("released, bfloat16", case),
        ("rigorous, bfloat16", case),
        ("rigorous, bfloat16", whole),
    ):
        size = " x ".join(map(str, shown.volume.shape))
        for number in numbers:
            cost = measure(FLOWS[name], network, shown, number, rounds)
            yield name, size, f"{number}", f"{number / cost.seconds:.2f}", f"{cost.mib:,.0f}"


@torch.no_grad()  # not inference mode, in which autocast casts the weights anew in each pass
def rates(network: PropMask, guides: int, slices: int, side: int) -> Iterator[tuple[str, ...]]:
    """Yield throughput of the forward pass and of a matrix product, by precision.

    The forward pass takes ``slices`` adjacent slices for each of ``guides`` guiding slices at once;
    the matrices are ``side`` x ``side``.
    """
    device = next(network.parameters()).device
    image, mask = torch.rand(2, guides, 1, 224, 224, device=device)
    adjacent = torch.rand(guides, slices, 1, 224, 224, device=device)
    kinds: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    for precision, dtype in kinds.items():
        with in_precision(precision, device):
            passed = partial(network, image, mask.round(), adjacent)
            forward = (compute_cost.flops(passed) or 0) / _seconds(passed, device)
        matrix = torch.rand(side, side, device=device, dtype=dtype)
        product = 2 * side**3 / _seconds(partial(torch.mm, matrix, matrix), device)
        yield (
            precision,
            f"{forward / 1e12:.2f}",
            f"{product / 1e12:.2f}",
            f"{forward / product:.2f}",
        )


def _seconds(run: Callable[[], object], device: torch.device, rounds: int = 5) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    found = []
    for _ in range(rounds):
        wait()
        start = perf_counter()
        run()
        wait()
        found.append(perf_counter() - start)
    return min(found)


def table(head: str, rows: Iterator[tuple[str, ...]]) -> None:
    """Print each row below ``head`` as soon as it is available."""
    print(f"\n{head}\n|---|" + "---:|" * (head.count("|") - 2))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--objects", type=int, default=10, help="of the first table")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    on_gpu = options.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        raise SystemExit(
            "No GPU is seen. For a slow run without: --device cpu --objects 2 --counts 1"
        )
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    print(f"{name}, torch {torch.__version__}")
    network, case = full_size().to(options.device), recorded()
    head = "| flow | volume | objects | objects/s | MiB |"
    table(head, counts(network, case, options.counts, options.rounds))
    head = "| forward pass | TFLOP/s | matrix product | share |"
    table(head, rates(network, 8 if on_gpu else 1, 8 if on_gpu else 2, 8192 if on_gpu else 1024))
    head = f"| {options.objects} objects | objects/s | ratio | MiB | DSC | DSC with the yardstick |"
    table(head, flows(network, case, options.objects, options.rounds))


if __name__ == "__main__":
    main()
