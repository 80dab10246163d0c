"""Benchmark SegVol with work shared between objects against one window and object at a time.

    python -m tests.bench.bench_segvol             # the table, as in docs/methods.md
    python -m tests.bench.bench_segvol --full      # the published size of the network, for a GPU

Scans are synthetic and weights random, since time does not depend on them. One window and object at
a time is measured twice: with the operations of the released modules (explicit attention,
transposed convolutions), and with our network, to isolate the effect of sharing. All variants run
in turn in one process and must give the same logits. Time is CPU time on one thread, or wall-clock
time on a GPU if there is one.
"""

import argparse
from collections.abc import Sequence
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel

from baselines.segvol_encoder import Size
from baselines.segvol_network import SegVolNet
from baselines.segvol_zoom import ZoomOutZoomIn
from benchmark.boxes import Box
from benchmark.machine.precision import in_precision

REDUCED = Size(window=(16, 128, 128), width=384, mlp=1536, decoder_mlp=1024)  # half as wide
Found = list[tuple[Box, NDArray[np.float32]] | None]


def scan(
    shape: tuple[int, int, int], objects: int, seed: int
) -> tuple[NDArray[np.float32], list[Box]]:
    """Return noise and boxes of an eighth to a quarter of the scan along each axis."""
    rng = np.random.default_rng(seed)
    image = rng.random(shape, dtype=np.float32)
    boxes: list[Box] = []
    for _ in range(objects):
        spans: list[int] = []
        for length in shape:
            size = int(rng.integers(max(length // 8, 2), max(length // 4, 3)))
            start = int(rng.integers(0, length - size))
            spans += [start, start + size]
        boxes.append((spans[0], spans[1], spans[2], spans[3], spans[4], spans[5]))
    return image, boxes


class Focused(torch.nn.Module):
    """The network with negative logits outside the box, as a trained network would give."""

    def __init__(self, network: SegVolNet) -> None:
        """Wrap ``network``."""
        super().__init__()
        self.network, self.size = network, network.size
        self.embedded = 0

    def embed(self, windows: torch.Tensor) -> torch.Tensor:
        """Embed and count the windows."""
        self.embedded += len(windows)
        return self.network.embed(windows)

    def decode(self, embeddings: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Decode; raise the logits inside each box and set those outside to -10."""
        logits = self.network.decode(embeddings, boxes)
        for answer, box in zip(logits, boxes.long().tolist(), strict=True):
            z0, y0, x0, z1, y1, x1 = box
            inside = answer[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1].clone() + 10
            answer.fill_(-10)
            if z0 >= 0:
                answer[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = inside
        return logits


class AsReleased(SegVolNet):
    """The same network with the operations of the authors' code.

    MONAI's ViT and the authors' decoder materialise every attention matrix, and upscale by modules.
    """

    def __init__(self, network: SegVolNet) -> None:
        """Copy the weights of ``network``."""
        super().__init__(network.size)
        self.load_state_dict(network.state_dict())
        self.mask_decoder.upscaled = self._upscaled  # type: ignore[method-assign]

    def embed(self, windows: torch.Tensor) -> torch.Tensor:
        """Embed with explicit attention."""
        with sdpa_kernel(SDPBackend.MATH):
            return super().embed(windows)

    def decode(self, embeddings: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Decode with explicit attention."""
        with sdpa_kernel(SDPBackend.MATH):
            return super().decode(embeddings, boxes)

    def _upscaled(self, seen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        decoder = self.mask_decoder
        fine = decoder.output_upscaling(seen.transpose(1, 2).reshape(len(seen), -1, *decoder.grid))
        return torch.einsum("nc,nczyx->nzyx", weights, fine)


def one_by_one(
    network: Focused, image: NDArray[np.float32], boxes: Sequence[Box], device: str
) -> Found:
    """Segment as released: one window at a time, with nothing shared between objects."""
    found: Found = []
    for box in boxes:
        found += ZoomOutZoomIn(network, image, network.size.window, device=device).logits([box])
    return found


def together(
    network: Focused, image: NDArray[np.float32], boxes: Sequence[Box], device: str
) -> Found:
    """Segment as the adapter does."""
    zoom = ZoomOutZoomIn(network, image, network.size.window, device=device, batch=4)
    return list(zoom.logits(boxes))


def largest_difference(first: Found, second: Found) -> float:
    """Return the largest difference of two lists of logits; infinite if crops differ."""
    differences = [0.0]
    for one, other in zip(first, second, strict=True):
        if one is None or other is None or one[0] != other[0]:
            differences.append(0.0 if one is other else float("inf"))
        else:
            differences.append(float(np.abs(one[1] - other[1]).max()))
    return max(differences)


def measure(
    networks: tuple[Focused, Focused],
    name: str,
    shape: tuple[int, int, int],
    asked: argparse.Namespace,
    device: str,
) -> None:
    """Print one row of the table; raises `SystemExit` if the logits differ."""
    released, ours = networks
    image, boxes = scan(shape, asked.objects, seed=asked.objects)
    clock = process_time if device == "cpu" else perf_counter
    ways = (
        ("as released", one_by_one, released),
        ("one by one", one_by_one, ours),
        ("shared", together, ours),
    )
    seconds: dict[str, list[float]] = {key: [] for key, _, _ in ways}
    found, embedded = {}, {}
    with torch.inference_mode(), in_precision("float32", device):
        for network in networks:
            together(network, image, boxes[:1], device)  # warm up
        for _ in range(asked.rounds):
            for key, way, network in ways:
                before, start = network.embedded, clock()
                found[key] = way(network, image, boxes, device)
                seconds[key].append(clock() - start)
                embedded[key] = network.embedded - before
    difference = max(largest_difference(found["as released"], found[key]) for key in found)
    if not difference < 1e-3:
        raise SystemExit(f"{name}: the logits are not the same: {difference:g} apart.")
    first, one, both = (median(times) for times in seconds.values())
    print(
        f"| {name} | {embedded['one by one']} : {embedded['shared']} | {first:.2f} s | {one:.2f} s "
        f"| {both:.2f} s | {first / both:.1f} | {one / both:.1f} | {difference:.0e} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="the published size of the network")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, default=10)
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = SegVolNet(Size() if asked.full else REDUCED)
    networks = Focused(AsReleased(network)), Focused(network)
    for one in networks:
        one.eval().to(device)
    z, y, x = network.size.window
    print(f"{device}, window {network.size.window}, {asked.objects} objects")
    print(
        "| scan, in windows | embeddings | as released | one by one | shared | released : shared "
        "| one by one : shared | largest difference |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, shape in (
        ("0.5", (z // 2, y // 2, x // 2)),
        ("0.8", (4 * z // 5, 4 * y // 5, 4 * x // 5)),
        ("1.5 along y and x", (4 * z // 5, 3 * y // 2, 3 * x // 2)),
        ("3 along z, 2 along y and x", (3 * z, 2 * y, 2 * x)),
    ):
        measure(networks, name, shape, asked, device)


if __name__ == "__main__":
    main()
