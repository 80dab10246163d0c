"""SegVol's network at a reduced size, with the synthetic weights of the recorded outputs."""

import csv
from pathlib import Path

import torch

from baselines import segvol_network
from baselines.segvol_encoder import Size
from tests.baselines.conftest import GOLDEN, by_rule

SMALL = Size(
    window=(16, 64, 64), width=48, mlp=96, depth=2, heads=4, decoder_mlp=64, decoder_heads=4
)


def keys() -> list[dict[str, str]]:
    """Return the rows of the inventory of published keys: name, shape, use."""
    with (GOLDEN / "segvol_keys.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def published() -> dict[str, torch.Tensor]:
    """Return tensors of the reduced network by published name, and some that boxes do not need."""
    places = segvol_network.build(SMALL).state_dict()
    mine = {name: by_rule(name, tuple(place.shape)) for name, place in places.items()}
    others = {row["name"]: torch.zeros(1) for row in keys() if row["use"] != "box"}
    return {**mine, **others}


def network() -> segvol_network.SegVolNet:
    """Return the reduced network, read from a file in the first published format."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "SegVol_v1.pth"
        wrapped = {f"module.{name}": value for name, value in published().items()}
        torch.save({"model": wrapped, "epoch": 1, "optimizer": {}}, path)
        return segvol_network.load(path, SMALL)


class Counting:
    """A stand-in network that segments bright voxels in the box, and counts embedded windows."""

    size = SMALL

    def __init__(self) -> None:
        self.embedded = 0

    def embed(self, windows: torch.Tensor) -> torch.Tensor:
        self.embedded += len(windows)
        return windows

    def decode(self, embeddings: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        windows = embeddings[:, 0].expand(len(boxes), -1, -1, -1)
        answers = torch.full(windows.shape, -5.0)
        for answer, window, box in zip(answers, windows, boxes.long(), strict=True):
            if box[0] >= 0:
                z0, y0, x0, z1, y1, x1 = box.tolist()
                inner = (slice(z0, z1 + 1), slice(y0, y1 + 1), slice(x0, x1 + 1))
                answer[inner] = window[inner] - 0.5
        return answers
