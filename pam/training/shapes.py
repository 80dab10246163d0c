"""Single shapes on a canvas: lumps, hollow organs, wandering and branching tubes, split organs."""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from pam.training.canvas import Canvas, Field, Level

Point = NDArray[np.float64]


def ellipsoid(centre: ArrayLike, radii: ArrayLike, turn: Point, power: float = 2.0) -> Level:
    """Return an ellipsoid of semi-axes ``radii``, rotated by ``turn``; boxier if ``power`` > 2."""
    c = np.asarray(centre, np.float32)
    rows = (turn.T / np.asarray(radii)[:, None]).astype(np.float32)
    scale = np.float32(np.min(radii))

    def level(z: Field, y: Field, x: Field) -> Field:
        z, y, x = z - c[0], y - c[1], x - c[2]
        axes = [np.abs(r[0] * z + r[1] * y + r[2] * x) for r in rows]
        if power == 2:
            norm = np.sqrt(sum(a * a for a in axes))
        else:
            norm = sum(a**power for a in axes) ** np.float32(1 / power)
        result: Field = (norm - 1) * scale
        return result

    return level


def capsule(start: ArrayLike, end: ArrayLike, first: float, last: float) -> Level:
    """Return a straight piece of a tube whose radius changes from ``first`` to ``last``."""
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    way = b - a
    square = np.float32(max(float(way @ way), 1e-6))

    def level(z: Field, y: Field, x: Field) -> Field:
        z, y, x = z - a[0], y - a[1], x - a[2]
        t = ((z * way[0] + y * way[1] + x * way[2]) / square).clip(0, 1)
        away = np.sqrt((z - t * way[0]) ** 2 + (y - t * way[1]) ** 2 + (x - t * way[2]) ** 2)
        result: Field = away - np.float32(first) - t * np.float32(last - first)
        return result

    return level


def turned(canvas: Canvas) -> Point:
    """Return a random rotation matrix."""
    matrix: Point = Rotation.random(rng=canvas.rng).as_matrix()
    return matrix


def tilted(canvas: Canvas, degrees: float = 20) -> Point:
    """Return a small random rotation matrix."""
    turn = np.radians(canvas.rng.normal(0, degrees / 2, 3))
    matrix: Point = Rotation.from_rotvec(turn).as_matrix()
    return matrix


def lump(
    canvas: Canvas,
    centre: ArrayLike,
    radii: ArrayLike,
    *,
    label: int | None = None,
    turn: Point | None = None,
    power: float = 2.0,
    rough: float = 0.0,
    over: tuple[int, ...] | None = None,
) -> int:
    """Paint an ellipsoid whose surface is displaced by about ``rough`` of its smallest radius."""
    label = canvas.new() if label is None else label
    turn = tilted(canvas) if turn is None else turn
    reach = np.sqrt(((turn * np.asarray(radii)) ** 2).sum(axis=1)) * (1 + 2 * rough)
    if power > 2:
        reach = reach * 3 ** (0.5 - 1 / power)
    shape = ellipsoid(centre, radii, turn, power)
    c = np.asarray(centre)
    moved = rough * float(np.min(radii))
    canvas.paint(shape, c - reach, c + reach, label, rough=moved, over=over)
    return label


def random_lump(canvas: Canvas, high: float = 0.25) -> int:
    """Paint an ellipsoid of random place, shape and size, 0.02 to ``high`` of the field."""
    rng = canvas.rng
    base = canvas.field * float(np.exp(rng.uniform(np.log(0.02), np.log(high))))
    radii = base * np.exp(rng.normal(0, 0.4, 3))
    turn = turned(canvas) if rng.random() < 0.7 else tilted(canvas)
    rough = float(rng.choice([0.0, 0.1, 0.25, 0.4]))
    power = float(rng.choice([2, 2, 2.5, 4]))
    return lump(canvas, canvas.place(), radii, turn=turn, power=power, rough=rough)


def hollow(canvas: Canvas, centre: ArrayLike, radii: ArrayLike, wall: float) -> None:
    """Paint a hollow organ with a wall of ``wall`` mm, and in it one or two layers of content."""
    rng = canvas.rng
    turn = turned(canvas)
    rough = float(rng.choice([0.0, 0.1, 0.2]))
    outer = lump(canvas, centre, radii, turn=turn, rough=rough)
    inner = np.maximum(np.asarray(radii) - wall, 0.2 * np.asarray(radii))
    inside = lump(canvas, centre, inner, turn=turn, rough=rough, over=(outer,))
    if rng.random() < 0.3:  # gas above fluid
        surface = np.float32(np.asarray(centre)[1] + rng.uniform(-0.4, 0.4) * np.min(inner))
        reach = np.full(3, float(np.max(radii)) * 1.5)
        c = np.asarray(centre)
        canvas.paint(
            lambda z, y, x: y - surface + 0 * (z + x),
            c - reach,
            c + reach,
            canvas.new(),
            over=(inside,),
        )


def tube(
    canvas: Canvas,
    path: NDArray[np.float64],
    radii: NDArray[np.float64],
    label: int,
    over: tuple[int, ...] | None = None,
) -> None:
    """Paint a tube along the points ``path`` [n, 3] with a radius at each."""
    for (a, b), (r, s) in zip(pairwise(path), pairwise(radii), strict=True):
        reach = max(r, s)
        low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
        canvas.paint(capsule(a, b, r, s), low, high, label, over=over)


def wander(
    canvas: Canvas, start: ArrayLike, heading: ArrayLike, step: float, steps: int, turn: float
) -> NDArray[np.float64]:
    """Return a random path of ``steps`` steps of ``step`` mm, turning about ``turn`` rad each."""
    way = np.asarray(heading, float) / np.linalg.norm(heading)
    points = [np.asarray(start, float)]
    swing = np.zeros(3)
    for _ in range(steps):
        swing = 0.7 * swing + canvas.rng.normal(0, turn, 3)
        way = way + swing
        way = way / np.linalg.norm(way)
        points.append(points[-1] + step * way)
    return np.array(points)


def vessel(canvas: Canvas, radius: float, *, branches: int = 0, along_z: bool = False) -> None:
    """Paint a wandering tube with thinner branches; some have a wall with a label of its own."""
    rng = canvas.rng
    label = canvas.new()
    heading = rng.normal(size=3) * ((3, 1, 1) if along_z else (1, 1, 1))
    start = canvas.place(0.3)
    if along_z:
        start[0] = -np.sign(heading[0]) * canvas.size[0] * rng.uniform(0.2, 0.55)
    roots = [(start, heading, radius, 1.0)]
    walls = []
    for number in range(1 + branches):
        point, way, r, length = roots[min(number, len(roots) - 1)]
        step = max(0.8 * r, 2.0)
        steps = int(np.clip(length * rng.uniform(0.5, 1.3) * canvas.field / step, 4, 60))
        path = wander(canvas, point, way, step, steps, float(rng.choice([0.03, 0.08, 0.2])))
        swell = np.exp(np.cumsum(rng.normal(0, 0.05, len(path)))).clip(0.6, 1.6)
        radii = r * swell * np.linspace(1, rng.uniform(0.6, 1), len(path))
        walls.append((path, radii))
        for at in rng.integers(1, len(path), 3):
            spread = path[at] - path[at - 1] + step * rng.normal(0, 0.7, 3)
            roots.append((path[at], spread, float(radii[at]) * rng.uniform(0.5, 0.9), 0.5))
    for path, radii in walls:
        tube(canvas, path, radii, label)
    if rng.random() < 0.25:
        lumen = canvas.new()
        wall = rng.uniform(0.2, 0.45)
        for path, radii in walls:
            tube(canvas, path, radii * (1 - wall), lumen, over=(label,))


def split(canvas: Canvas, label: int, parts: int) -> list[int]:
    """Divide the voxels of ``label`` into ``parts`` touching labels: lobes, muscles, segments."""
    inside = np.nonzero(canvas.labels == label)
    if len(inside[0]) < 10 * parts:
        return [label]
    rng = canvas.rng
    picked = rng.choice(len(inside[0]), parts, replace=False)
    points = np.stack([p[inside] for p in canvas.points], axis=1)
    stretch = np.exp(rng.normal(0, 0.4, 3))
    bumps = np.stack([b[inside] for b in canvas.bumps], axis=1)
    reach = np.abs(points - points.mean(axis=0)).mean()
    away = []
    for k in picked:
        mixed = bumps @ rng.normal(size=2).astype(np.float32)
        gap = np.linalg.norm((points - points[k]) * stretch, axis=1)
        away.append(gap + rng.uniform(0, 0.25) * reach * mixed)
    labels = [label, *(canvas.new() for _ in range(parts - 1))]
    canvas.labels[inside] = np.array(labels, np.int16)[np.argmin(away, axis=0)]
    return labels
