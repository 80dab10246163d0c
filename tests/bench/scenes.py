"""Synthetic masks for the benchmarks: lesions, organs, vessels, failures, a scan of 40 labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

Mask = NDArray[np.bool_]
Pair = tuple[Mask, Mask, tuple[float, float, float]]
LabelMaps = NDArray[np.uint8]


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radii: tuple[float, ...]) -> Mask:
    """Return an ellipsoid on a grid of ``shape``; centre and radii in voxels."""
    axes = np.ogrid[tuple(slice(0, size) for size in shape)]
    terms = [((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)]
    return np.asarray(terms[0] + terms[1] + terms[2] <= 1)


def organ(shape: tuple[int, int, int], seed: int) -> tuple[Mask, Mask]:
    """Return a lobed ellipsoid of three fifths of ``shape``, and the same with a wavy border."""
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
    """Return random walks of radius 2 and 3 voxels, the second without its last quarter."""
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
    """Return balls of radius 3 to 10 voxels, and the same moved by up to two voxels each."""
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


def middle(mask: Mask, width: float) -> Mask:
    """Return the slices of a mask up to ``width`` voxels above the middle of the scan."""
    above = np.arange(len(mask)) - len(mask) // 2
    return np.asarray(mask & ((above >= 0) & (above < width))[:, None, None])


def leak(mask: Mask) -> Mask:
    """Return an ellipsoid that fills the scan."""
    return ball(mask.shape, tuple(n / 2 for n in mask.shape), tuple(0.49 * n for n in mask.shape))


FAILURES: dict[str, Callable[[Mask], Mask]] = {
    "half of it": lambda mask: middle(mask, np.inf),
    "one slice of it": lambda mask: middle(mask, 1),
    "another organ": lambda mask: np.flip(mask, 2),
    "a leak": leak,
    "the whole scan": np.ones_like,
}


def failed(failure: str, shape: tuple[int, int, int]) -> tuple[Mask, Mask]:
    """Return a sphere, and a prediction of which most is far from it."""
    z, y, x = shape
    sphere = ball(shape, (z / 2, y / 2, 0.3 * x), (0.3 * min(shape),) * 3)
    return sphere, FAILURES[failure](sphere)


def halves(size: int) -> tuple[Mask, Mask]:
    """Return the two halves of a cube, which touch."""
    left = np.zeros((size,) * 3, np.bool_)
    left[:, :, : size // 2] = True
    return left, ~left


def noise(shape: tuple[int, ...], coarse: int, rng: np.random.Generator) -> NDArray[np.float32]:
    field = gaussian_filter(rng.standard_normal((coarse,) * 3), 1).astype(np.float32)
    return np.asarray(zoom(field, [size / coarse for size in shape], order=1), np.float32)


def body(shape: tuple[int, int, int], organs: int = 14, seed: int = 0) -> LabelMaps:
    """Return reference and prediction, (2, z, y, x): organs, 10 vertebrae, 12 ribs, 4 vessels."""
    rng = np.random.default_rng(seed)
    size = np.array(shape)
    maps = np.zeros((2, *shape), np.uint8)
    label = 0

    def blob(centre: Any, radii: Any, lobes: float) -> None:
        sides = zip(centre, radii, shape, strict=True)
        box = tuple(
            slice(max(0, int(c - 1.6 * r)), min(s, int(c + 1.6 * r) + 1)) for c, r, s in sides
        )
        axes = np.ogrid[box]
        terms = [((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)]
        level = (terms[0] + terms[1] + terms[2]).astype(np.float32)
        level += lobes * noise(level.shape, 6, rng)
        maps[0][box][level <= 1] = label
        maps[1][box][level + 0.3 * noise(level.shape, 14, rng) <= 1] = label

    def tube(path: NDArray[np.float64], radius: float) -> None:
        half = int(1.1 * radius) + 1
        for labels, shift, thick in ((maps[0], 0.0, 1.0), (maps[1], rng.normal(0, 1, 3), 1.1)):
            stamp = ball((2 * half + 1,) * 3, (half,) * 3, (thick * radius,) * 3)
            for place in np.clip((path + shift).astype(int) - half, 0, size - 2 * half - 1):
                labels[tuple(slice(p, p + 2 * half + 1) for p in place)][stamp] = label

    for _ in range(organs):
        label += 1
        blob(
            size * rng.uniform(0.25, 0.75, 3),
            size * rng.uniform(0.03, 0.16) * rng.uniform(0.7, 1.4, 3),
            1.0,
        )
    for vertebra in range(10):
        label += 1
        blob(size * ((vertebra + 0.5) / 10, 0.7, 0.5), size * (0.045, 0.06, 0.07), 0.6)
    angle = np.linspace(0, 0.9 * np.pi, 400)
    for rib in range(12):
        label += 1
        z = (rib // 2 + 1.5) / 8 - 0.12 * np.sin(angle / 2)
        y, x = 0.5 + 0.3 * np.cos(angle), 0.5 + (0.38 if rib % 2 else -0.38) * np.sin(angle)
        tube(size * np.stack([z, y, x], axis=1), 5)
    for radius in (4, 6, 9, 12):
        label += 1
        steps = rng.standard_normal((600, 3)).cumsum(axis=0)
        steps *= 1.5 / np.linalg.norm(steps, axis=1, keepdims=True)
        tube(size * rng.uniform(0.4, 0.6, 3) + steps.cumsum(axis=0) / 3, radius)
    return maps


ISO, CT, LARGE = (1.5, 1.5, 1.5), (5.0, 0.7, 0.7), (1.0, 0.75, 0.75)
MIDDLE, SCAN, LONG = (100, 200, 200), (300, 512, 512), (500, 512, 512)
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
    "1,000 lesions, 500 x 512 x 512": lambda: (*lesions(LONG, 1000, 9), LARGE),
}
FAR: dict[str, Callable[[], Pair]] = {
    "sphere and half of it": lambda: (*failed("half of it", MIDDLE), ISO),
    "sphere and one slice of it": lambda: (*failed("one slice of it", MIDDLE), ISO),
    "sphere and another, 20 voxels away": lambda: (*failed("another organ", MIDDLE), ISO),
    "sphere and a leak": lambda: (*failed("a leak", MIDDLE), ISO),
    "sphere and the whole scan": lambda: (*failed("the whole scan", MIDDLE), ISO),
    "sphere and the whole scan, 5 mm slices": lambda: (*failed("the whole scan", MIDDLE), CT),
    "halves of a cube of 100 voxels": lambda: (*halves(100), ISO),
}
"""Pairs of which most is far apart; the sphere has a radius of 30 voxels in 100 x 200 x 200."""
ITEMS |= FAR
