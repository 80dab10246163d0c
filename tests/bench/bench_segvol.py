"""SegVol over a scan: work shared between objects, beside one window and one object at a time.

    python -m tests.bench.bench_segvol             # the table, as in docs/methods.md
    python -m tests.bench.bench_segvol --full      # the published size of the network; a GPU's work

Made scans, random weights: time does not depend on them. Both ways run in turns in one process, on
one thread of a CPU (or on the GPU if there is one), and their logits are compared.
"""

import argparse
from collections.abc import Sequence
from statistics import median
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from baselines.segvol_encoder import Size
from baselines.segvol_network import SegVolNet
from baselines.segvol_zoom import ZoomOutZoomIn
from benchmark.masks import Box

ROUNDS = 3
REDUCED = Size(window=(16, 128, 128), width=384, mlp=1536, decoder_mlp=1024)  # half as wide
Found = list[tuple[Box, NDArray[np.float32]] | None]


def scan(
    shape: tuple[int, int, int], objects: int, seed: int
) -> tuple[NDArray[np.float32], list[Box]]:
    """Noise, and boxes of an eighth to a quarter of the scan along each axis."""
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
    """The network, whose answers are set to no beyond the box: as a trained one's would be."""

    def __init__(self, network: SegVolNet) -> None:
        """Wrap ``network``."""
        super().__init__()
        self.network, self.size = network, network.size

    def embed(self, windows: torch.Tensor) -> torch.Tensor:
        """Pass on."""
        return self.network.embed(windows)

    def decode(self, embeddings: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Decode, then keep the inside of each box."""
        logits = self.network.decode(embeddings, boxes)
        for answer, box in zip(logits, boxes.long().tolist(), strict=True):
            z0, y0, x0, z1, y1, x1 = box
            inside = answer[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1].clone() + 10
            answer.fill_(-10)
            if z0 >= 0:
                answer[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = inside
        return logits


def one_by_one(
    network: Focused, image: NDArray[np.float32], boxes: Sequence[Box], device: str
) -> Found:
    """As released: nothing is kept from one object to the next, one window at a time."""
    found: Found = []
    for box in boxes:
        found += ZoomOutZoomIn(network, image, network.size.window, device=device).logits([box])
    return found


def together(
    network: Focused, image: NDArray[np.float32], boxes: Sequence[Box], device: str
) -> Found:
    """As the adapter does it."""
    zoom = ZoomOutZoomIn(network, image, network.size.window, device=device, batch=4)
    return list(zoom.logits(boxes))


def largest_difference(first: Found, second: Found) -> float:
    """Largest difference of two lists of logits; infinite where crops differ."""
    differences = [0.0]
    for one, other in zip(first, second, strict=True):
        if one is None or other is None or one[0] != other[0]:
            differences.append(0.0 if one is other else float("inf"))
        else:
            differences.append(float(np.abs(one[1] - other[1]).max()))
    return max(differences)


def measure(
    network: Focused, name: str, shape: tuple[int, int, int], objects: int, device: str
) -> None:
    """Print a row of the table."""
    image, boxes = scan(shape, objects, seed=objects)
    seconds: dict[str, list[float]] = {"one": [], "all": []}
    with torch.inference_mode():
        together(network, image, boxes[:1], device)  # warm up
        for _ in range(ROUNDS):
            for key, way in (("one", one_by_one), ("all", together)):
                start = perf_counter()
                found = way(network, image, boxes, device)
                seconds[key].append(perf_counter() - start)
                if key == "one":
                    first = found
    one, both = median(seconds["one"]), median(seconds["all"])
    difference = largest_difference(first, found)
    print(
        f"| {name} | {objects} | {one:.2f} s | {both:.2f} s | {one / both:.1f} | {difference:.0e} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the published size of the network")
    full = parser.parse_args().full
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = Focused(SegVolNet(Size() if full else REDUCED)).eval().to(device)
    window = network.size.window
    z, y, x = window
    print(f"{device}, window {window}")
    print("| scan, in windows | objects | one by one | shared | ratio | largest difference |")
    print("|---|---|---|---|---|---|")
    measure(network, "0.5", (z // 2, y // 2, x // 2), 10, device)
    measure(network, "0.8", (4 * z // 5, 4 * y // 5, 4 * x // 5), 10, device)
    measure(network, "1.5 along y and x", (4 * z // 5, 3 * y // 2, 3 * x // 2), 10, device)
    measure(network, "3 along z, 2 along y and x", (3 * z, 2 * y, 2 * x), 10, device)


if __name__ == "__main__":
    main()
