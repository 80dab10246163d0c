"""Benchmark MedSAM on a scan with ten objects against one embedding per object and slice.

    python -m tests.bench.bench_medsam                        # a reduced network, one thread
    python -m tests.bench.bench_medsam --full --device cuda   # ViT-B with random weights

The yardstick applies the 2D inference of github.com/bowang-lab/MedSAM (three equal channels are
resized, embedded and decoded) slice by slice and object by object, with the same network. A second
one resizes one channel, as we do. All compute in float32, and must give the same masks. Time is the
median over rounds, run in turn, of CPU time, or of wall-clock time on a GPU.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import resize
from torch.nn.functional import interpolate

from baselines import medsam_network
from baselines.medsam import MedSAM
from baselines.medsam_network import SamSize
from baselines.medsam_preprocess import WINDOWS, to_uint8
from benchmark.machine.batch import Batches
from benchmark.machine.precision import in_precision
from benchmark.masks import Mask
from benchmark.prompts import Box3D
from benchmark.volume import Volume
from benchmark.weights import tensors

REDUCED = SamSize(image=256, width=192, depth=4, heads=3, attends_all=(1, 3), window=7, channels=64)
OBJECTS, SLICES = 10, 8
Masks = list[NDArray[np.bool_]]


def network(size: SamSize) -> Any:
    """Return the network with random weights."""
    made = medsam_network.build(size)
    generator = torch.Generator().manual_seed(0)
    values = {
        name: 0.05 * torch.randn(place.shape, generator=generator) + float("norm" in name)
        for name, place in made.state_dict().items()
    }
    values["shared_image_embedding.positional_embedding"] = values[
        "prompt_encoder.shared_embedding.positional_embedding"
    ]
    tensors.fill(made, values, Path("random"))
    return made


def scan(side: int) -> tuple[Volume, list[Box3D]]:
    """Return CT-like noise, and the boxes of ten objects on the same eight slices."""
    rng = np.random.default_rng(0)
    array = rng.normal(40, 100, (SLICES, side, side)).astype(np.int16)
    boxes = []
    for _ in range(OBJECTS):
        y, x = rng.integers(0, side // 2, 2)
        height, width = rng.integers(side // 8, side // 2, 2)
        boxes.append(Box3D((0, SLICES, int(y), int(y + height), int(x), int(x + width))))
    return Volume(array, (3.0, 0.8, 0.8), "CT"), boxes


@torch.inference_mode()
def yardstick(adapter: MedSAM, volume: Volume, boxes: list[Box3D], channels: int) -> Masks:
    """Segment slice by slice and object by object; ``channels`` equal channels are resized."""
    net, device = adapter.network, adapter.device
    side = net.config.vision_config.image_size
    grey = to_uint8(volume.grey, "CT", WINDOWS["soft-tissue"])
    found = []
    for box in boxes:
        solid = np.zeros(volume.shape, dtype=bool)
        z0, z1, y0, y1, x0, x1 = box.box
        for z in range(z0, z1):
            plane = grey[z] if channels == 1 else np.repeat(grey[z][:, :, None], 3, axis=-1)
            square = resize(plane, (side, side), order=3, preserve_range=True, anti_aliasing=True)
            whole = np.atleast_3d(square.astype(np.uint8)) * np.ones(
                (1, 1, 3 // channels), np.uint8
            )
            spread = np.clip(whole.max() - whole.min(), 1e-8, None)
            image = torch.tensor((whole - whole.min()) / spread).float().permute(2, 0, 1)[None]
            height, width = grey[z].shape
            corners = np.array([x0, y0, x1 - 1, y1 - 1]) / [width, height, width, height] * side
            prompt = torch.tensor(corners[None, None], dtype=torch.float32, device=device)
            with in_precision("float32", device):
                embedded = net.get_image_embeddings(image.to(device))
                low = net(
                    image_embeddings=embedded, input_boxes=prompt, multimask_output=False
                ).pred_masks[:, 0]
            soft = interpolate(low.sigmoid(), (height, width), mode="bilinear")
            solid[z] = (soft[0, 0] > 0.5).cpu().numpy()
        found.append(solid)
    return found


def ours(adapter: MedSAM, volume: Volume, boxes: list[Box3D]) -> Masks:
    """Segment as a study does."""
    return [
        Mask.of(p.mask, offset=p.offset or (0, 0, 0), shape=volume.shape).dense()
        for p in adapter.segment(volume, boxes)
        if p.mask is not None
    ]


def main() -> None:
    """Measure all variants in turn and print the time and ratio of each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="ViT-B at 1024 pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    asked = parser.parse_args()
    if asked.device == "cpu":
        torch.set_num_threads(1)
    adapter = MedSAM({"batch": asked.batch})
    adapter.network = network(SamSize() if asked.full else REDUCED).to(asked.device)
    adapter.device, adapter.batches = asked.device, Batches()
    volume, boxes = scan(512 if asked.full else 192)
    clock = process_time if asked.device == "cpu" else perf_counter
    runs: dict[str, Callable[[MedSAM, Volume, list[Box3D]], Masks]] = {
        "as released": partial(yardstick, channels=3),
        "one channel": partial(yardstick, channels=1),
        "pambench": ours,
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(asked.rounds + 1):  # the first round warms up
        made = {}
        for name, run in runs.items():
            start = clock()
            made[name] = run(adapter, volume, boxes)
            seconds[name].append(clock() - start)
        pairs = zip(made["as released"], made["one channel"], made["pambench"], strict=True)
        differ = sum(np.count_nonzero((a != c) | (b != c)) for a, b, c in pairs)
        total = sum(np.count_nonzero(mask) for mask in made["as released"])
        if not total > 0 or differ > 1e-3 * total:
            raise SystemExit(f"The masks are not the same: {differ} of {total} voxels differ.")
    figures = {name: median(times[1:]) for name, times in seconds.items()}
    print(f"MedSAM, {OBJECTS} objects on {SLICES} slices, {asked.device}, {differ} voxels differ")
    for name, value in figures.items():
        print(f"{name:>12}: {value:8.2f} s, {value / figures['pambench']:6.1f} x")


if __name__ == "__main__":
    main()
