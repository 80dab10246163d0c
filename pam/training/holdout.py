"""Score weights on generated cases that no training uses, as the basis for choosing among them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.machine.precision import in_precision
from benchmark.masks import Mask
from pam import preprocess
from pam.box2mask import guiding_mask
from pam.box_presets import Conversion
from pam.network import Box2Mask, PropMask
from pam.presets import Propagation
from pam.propagation import foreground_margin, propagate
from pam.training.cases import Case
from pam.training.generator import HOLDOUT_SEED, Generator

Rows = list[dict[str, Any]]

SCENES = {"patchwork": 0.2, "heap": 0.25, "trunk": 0.3, "columns": 0.25}
"""More objects that run through the whole volume than in training: they show if a mask is lost."""

DISTANCES = (1, 2, 3, 4, 6, 8, 10)
_MOST = 6  # objects per case


@dataclass(frozen=True)
class Example:
    """An object of the hold-out and the index of its largest slice."""

    case: Case
    found: Mask
    index: int

    @property
    def truth(self) -> NDArray[np.bool_]:
        """The object's mask on the whole grid, bool [z, y, x]."""
        return self.found.dense()


def examples(cases: int, visible: float = 0.0) -> Iterator[Example]:
    """Yield objects of the hold-out: up to six per case, of at least 60 voxels on 3 slices.

    ``visible``: minimum visible share of an object's surface (`pam.training.visibility`).
    """
    generator = Generator(seed=HOLDOUT_SEED, scenes=SCENES, visible=visible)
    for number in range(cases):
        case = generator.case(number)
        large = [o for o in case.objects if o.voxels >= 60 and len(o.crop) >= 3]
        order = np.random.default_rng(number).permutation(len(large))
        for k in order[:_MOST]:
            areas = large[k].crop.sum(axis=(1, 2))
            yield Example(case, large[k], large[k].box[0] + int(areas.argmax()))


def score(
    network: PropMask, settings: Propagation, examples: Iterable[Example], device: str = "cpu"
) -> Rows:
    """Score a PropMask; returns a row per object and distance, and one per whole object.

    Distances above 0 are single slices, predicted in one round from the true mask of the largest
    slice: ``dsc`` is that of the prediction, ``copied`` that of the guiding mask copied to the
    slice. Where the object is ``absent``, each is 1 if nothing is marked, else 0. Distance 0 is the
    whole object: ``dsc`` of the propagation, and ``copied`` of the guiding mask on all slices of
    the object.
    """
    rows = []
    for number, example in enumerate(examples):
        truth = example.truth
        guide = truth[example.index]
        for z, marked in _round(network, example, settings, device):
            common = {"object": number, "distance": abs(z - example.index)}
            rows.append(
                {
                    **common,
                    "absent": not truth[z].any(),
                    "dsc": dice(marked, truth[z]),
                    "copied": dice(guide, truth[z]),
                }
            )
        whole = propagate(network, example.case.scan, example.index, guide, settings, device=device)
        copied = np.where(truth.any(axis=(1, 2), keepdims=True), guide, False)
        scores = {"dsc": dice(whole, truth), "copied": dice(copied, truth)}
        rows.append({"object": number, "distance": 0, "absent": False, **scores})
    return rows


@torch.inference_mode()
def _round(
    network: PropMask, example: Example, settings: Propagation, device: str
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield slices around the guiding slice and their masks [y, x], predicted in one round."""
    case, guide = example.case, example.truth[example.index]
    depth = len(case.scan.volume)
    slices = [
        z for d in DISTANCES for z in (example.index - d, example.index + d) if 0 <= z < depth
    ]
    limits = preprocess.window(case.scan.volume[example.index], guide, case.scan.modality, settings)
    square = preprocess.square_around(guide, settings)
    view = preprocess.View([example.index, *slices], square, limits)
    images = preprocess.images(case.scan, [view], settings, device)
    prompt = preprocess.prompt_image(guide, square, settings)[None].to(device)
    apart = preprocess.distance(example.index, slices, square, case.spacing)
    distance = torch.from_numpy(apart)[None].to(device)
    with in_precision("float32", device):
        logits = network(images[:, 0], prompt, images[:, 1:], distance=distance)
    margin = foreground_margin(logits, (settings.size, settings.size), settings.average)
    found = (preprocess.resize_to_crop(margin, [square.side], settings)[0] > 0).cpu().numpy()
    rows, columns = square.inside(*guide.shape)
    for z, mask in zip(slices, found, strict=True):
        plane = np.zeros_like(guide)
        part = plane[rows, columns]
        part[:] = mask[: part.shape[0], : part.shape[1]]
        yield z, plane


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the DSC of two masks; 1 if both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def score_boxes(
    network: Box2Mask, settings: Conversion, examples: Iterable[Example], device: str = "cpu"
) -> Rows:
    """Score a Box2Mask on the largest slices: ``dsc`` of its mask, ``copied`` that of the box."""
    rows = []
    for number, example in enumerate(examples):
        truth = example.truth[example.index]
        _, _, y0, y1, x0, x1 = Mask.of(truth[None]).box
        scan = example.case.scan
        marked = guiding_mask(
            network, scan, example.index, (y0, y1, x0, x1), settings, device=device
        )
        box = np.zeros_like(truth)
        box[y0:y1, x0:x1] = True
        scores = {"dsc": dice(marked, truth), "copied": dice(box, truth)}
        rows.append({"object": number, "distance": 0, "absent": False, **scores})
    return rows


def summary(rows: Rows) -> Rows:
    """Return the means by distance, separately for slices with the object and without it."""
    groups: dict[tuple[bool, int], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["absent"], row["distance"]), []).append(row)
    return [
        {
            "distance": distance,
            "absent": absent,
            "rows": len(group),
            **{key: round(float(np.mean([r[key] for r in group])), 4) for key in ("dsc", "copied")},
        }
        for (absent, distance), group in sorted(groups.items())
    ]
