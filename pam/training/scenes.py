"""Whole scenes: patchworks, heaps of organs, trunks with ribs and spine, columns of muscles."""

import numpy as np
from scipy.spatial.transform import Rotation

from pam.training.canvas import Canvas, noise
from pam.training.shapes import (
    hollow,
    lump,
    random_lump,
    split,
    tilted,
    tube,
    vessel,
    wander,
)

Rims = dict[int, float]
"""Labels whose outer layer looks different, such as bones, and its thickness in mm."""


def patchwork(canvas: Canvas) -> Rims:
    """Fill the volume: each voxel belongs to the largest of several smooth random fields."""
    rng = canvas.rng
    count = int(rng.integers(3, 13))
    wavelength = rng.uniform(0.1, 0.45)
    knots = canvas.knots(wavelength)
    fields = np.stack([noise(rng, canvas.shape, knots) for _ in range(count)])
    canvas.labels[:] = np.array([canvas.new() for _ in range(count)])[fields.argmax(axis=0)]
    top = np.partition(fields, count - 2, axis=0)
    canvas.depth[:] = (top[-1] - top[-2]) * wavelength * canvas.field / 4
    for _ in range(int(rng.integers(0, 8))):
        random_lump(canvas, high=0.12)
    for _ in range(int(rng.integers(0, 4))):
        vessel(canvas, canvas.field * rng.uniform(0.01, 0.05))
    return {}


def heap(canvas: Canvas) -> Rims:
    """Paint lumps, hollow organs, split organs and tubes at random places, in random order."""
    rng = canvas.rng
    if rng.random() < 0.6:
        body(canvas)
    rims = {}
    for _ in range(int(rng.integers(6, 30))):
        kind = rng.random()
        if kind < 0.55:
            label = random_lump(canvas)
            if rng.random() < 0.25:
                split(canvas, label, int(rng.integers(2, 6)))
            elif rng.random() < 0.2:
                rims[label] = canvas.field * rng.uniform(0.01, 0.04)
        elif kind < 0.75:
            radii = canvas.field * rng.uniform(0.05, 0.2) * np.exp(rng.normal(0, 0.3, 3))
            hollow(canvas, canvas.place(), radii, canvas.field * rng.uniform(0.012, 0.05))
        else:
            vessel(
                canvas,
                canvas.field * rng.uniform(0.01, 0.06),
                branches=int(rng.integers(0, 4)),
                along_z=bool(rng.random() < 0.5),
            )
    return rims


def body(canvas: Canvas) -> np.ndarray:
    """Paint a trunk: fat, muscle and a cavity; return the cavity's radii (y, x), mm."""
    rng = canvas.rng
    half = canvas.size[1:] / 2 * rng.uniform(0.8, 1.1, 2) * (rng.uniform(0.65, 0.95), 1.0)
    long = canvas.size[0] * rng.uniform(1.5, 5)
    fat, muscle = canvas.field * rng.uniform(0.01, 0.08), canvas.field * rng.uniform(0.02, 0.07)
    turn, power = tilted(canvas, 8), float(rng.choice([2, 2.5, 3]))
    labels = []
    for layer in (0.0, fat, fat + muscle):
        radii = np.array([long, *(half - layer)])
        labels.append(lump(canvas, (0, 0, 0), radii, turn=turn, power=power, rough=0.01))
    if rng.random() < 0.4:
        split(canvas, labels[1], int(rng.integers(4, 14)))
    return half - fat - muscle


def trunk(canvas: Canvas) -> Rims:
    """Paint a trunk with some of: ribs, spine, lungs, organs, lesions, bowel, vessels, muscles."""
    rng = canvas.rng
    half = body(canvas)
    rims: Rims = {}
    if rng.random() < 0.5:
        for side in (-1, 1):
            radii = np.array([canvas.size[0] * rng.uniform(0.3, 1), 0.8 * half[0], 0.42 * half[1]])
            at = (rng.uniform(-0.7, 0.7) * canvas.size[0], 0, side * 0.5 * half[1])
            lung = lump(canvas, at, radii, power=2.5, rough=0.1)
            if rng.random() < 0.6:
                split(canvas, lung, int(rng.integers(2, 4)))
    for _ in range(int(rng.integers(3, 12))):
        size = canvas.field * np.exp(rng.uniform(np.log(0.04), np.log(0.22)))
        centre = rng.uniform(-0.6, 0.6, 3) * (canvas.size[0], *half)
        radii = size * np.exp(rng.normal(0, 0.35, 3))
        turn = tilted(canvas, 60)
        if rng.random() < 0.2:
            hollow(canvas, centre, radii, canvas.field * rng.uniform(0.012, 0.04))
        else:
            organ = lump(canvas, centre, radii, turn=turn, rough=float(rng.choice([0.1, 0.3])))
            if rng.random() < 0.2:
                split(canvas, organ, int(rng.integers(2, 5)))
            if rng.random() < 0.3:  # lesions
                for _ in range(int(rng.integers(1, 4))):
                    inner = centre + rng.uniform(-0.5, 0.5, 3) * radii
                    lump(canvas, inner, size * rng.uniform(0.1, 0.35, 3), rough=0.2, over=(organ,))
    if rng.random() < 0.5:
        bowel(canvas, half)
    for _ in range(int(rng.integers(1, 6))):
        vessel(
            canvas,
            canvas.field * rng.uniform(0.008, 0.035),
            branches=int(rng.integers(0, 5)),
            along_z=bool(rng.random() < 0.7),
        )
    if rng.random() < 0.7:
        rims |= spine(canvas, half)
    if rng.random() < 0.6:
        rims |= ribs(canvas, half)
    return rims


def bowel(canvas: Canvas, half: np.ndarray) -> None:
    """Paint the coils of a hollow tube in a trunk of radii ``half`` (y, x), mm."""
    rng = canvas.rng
    radius = canvas.field * rng.uniform(0.02, 0.05)
    start = rng.uniform(-0.5, 0.5, 3) * (canvas.size[0], *half)
    path = wander(canvas, start, rng.normal(size=3), 1.2 * radius, 40, 0.35)
    limit = np.array([0.5 * canvas.size[0], *(0.8 * half)])
    path = limit * np.sin(path / limit)  # fold the path back where it would leave
    radii = radius * np.exp(rng.normal(0, 0.1, len(path)))
    wall = canvas.new()
    tube(canvas, path, radii, wall)
    tube(canvas, path, radii * rng.uniform(0.5, 0.8), canvas.new(), over=(wall,))


def spine(canvas: Canvas, half: np.ndarray) -> Rims:
    """Paint a chain of vertebrae, one label each with arches and processes, and their discs."""
    rng = canvas.rng
    width = canvas.field * rng.uniform(0.05, 0.11)
    height = width * rng.uniform(0.7, 1.3)  # of a body
    gap = height * rng.uniform(0.08, 0.35)
    period = height + gap
    tilt = Rotation.from_rotvec([0, *np.radians(rng.normal(0, 10, 2))]).as_matrix()
    middle = np.array([0, half[0] * rng.uniform(0.3, 0.7), rng.uniform(-0.1, 0.1) * half[1]])
    count = int(np.ceil(canvas.size[0] / period)) + 2
    offset = rng.uniform(-0.5, 0.5) * period
    power = float(rng.choice([2.5, 4]))
    canal = width * rng.uniform(0.35, 0.55)
    depth = width * rng.uniform(0.65, 0.9)
    flare = rng.uniform(0.7, 1.8)
    drop = rng.uniform(0, 1.2)
    rims: Rims = {}
    share_disc = rng.random() < 0.4
    disc = canvas.new()
    for k in range(count):
        up = (k - count // 2) * period + offset
        centre = middle + tilt @ np.array([up, 0, 0])
        across = centre + tilt @ np.array([period / 2, 0, 0])
        radii = np.array([gap, depth, width])
        this_disc = disc if share_disc else canvas.new()
        lump(canvas, across, radii * (1, 0.95, 0.95), label=this_disc, turn=tilt, power=3)
    for k in range(count):
        up = (k - count // 2) * period + offset
        centre = middle + tilt @ np.array([up, 0, 0])
        label = canvas.new()
        rims[label] = max(canvas.field * rng.uniform(0.004, 0.012), 0.6 * canvas.spacing[1])
        lump(
            canvas,
            centre,
            (height / 2, depth, width),
            label=label,
            turn=tilt,
            power=power,
            rough=0.08,
        )

        def at(*offset: float, base: np.ndarray = centre) -> np.ndarray:
            moved: np.ndarray = base + tilt @ np.array(offset)
            return moved

        thick = width * rng.uniform(0.18, 0.3)
        back = depth + 2 * canal
        for side in (-1.0, 1.0):
            pedicle = np.array(
                [
                    at(0, depth * 0.8, side * canal),
                    at(-0.1 * height, depth + canal, side * 1.1 * canal),
                    at(-0.25 * height, back, 0),
                ]
            )
            tube(canvas, pedicle, np.full(3, thick), label)
            root = at(-0.1 * height, depth + canal, side * 1.1 * canal)
            tip = at(0.05 * height, depth + 1.3 * canal, side * (canal + flare * width))
            tube(canvas, np.array([root, tip]), np.array([thick, 0.6 * thick]), label)
            joint = at(0.45 * period, depth + 1.1 * canal, side * 1.2 * canal)
            tube(canvas, np.array([root, joint]), np.array([thick, 0.8 * thick]), label)
        end = at(-drop * height, back + width * rng.uniform(0.5, 1.2), 0)
        process = np.array([at(-0.25 * height, back, 0), end])
        tube(canvas, process, np.array([thick, 0.8 * thick]), label)
    tunnel = np.array(
        [middle + tilt @ np.array([s * canvas.size[0], depth + canal, 0]) for s in (-1, 0, 1)]
    )
    tube(canvas, tunnel, np.full(3, 0.8 * canal), canvas.new())
    return rims


def ribs(canvas: Canvas, half: np.ndarray) -> Rims:
    """Paint slanting hoops around the cavity; each side of each is a label."""
    rng = canvas.rng
    radius = max(canvas.field * rng.uniform(0.012, 0.028), 0.8 * canvas.spacing[1])
    period = radius * rng.uniform(3.2, 6)
    slant = rng.uniform(0, 0.8)
    count = int(np.ceil((canvas.size[0] + 2 * slant * half[0]) / period)) + 1
    rims: Rims = {}
    begin, end = rng.uniform(0.05, 0.3), rng.uniform(0.6, 0.95)
    flat = rng.uniform(0.9, 1.1)
    for k in range(min(count, 24)):
        for side in (-1.0, 1.0):
            angle = np.pi * np.linspace(begin, end, 16)
            y = flat * half[0] * np.cos(angle)
            x = side * flat * half[1] * np.sin(angle)
            z = (k - count / 2) * period + slant * y
            label = canvas.new()
            path = np.stack([z, y, x], axis=1) + rng.normal(0, 0.1 * radius, (16, 3))
            tube(canvas, path, radius * np.exp(rng.normal(0, 0.1, 16)), label)
            rims[label] = 0.4 * radius
    return rims


def columns(canvas: Canvas) -> Rims:
    """Paint structures along z, most of them through all slices: muscles, long bones, vessels."""
    rng = canvas.rng
    half = canvas.size[1:] / 2
    if rng.random() < 0.8:
        half = body(canvas)
    rims: Rims = {}
    for _ in range(int(rng.integers(4, 16))):
        size = canvas.field * np.exp(rng.uniform(np.log(0.02), np.log(0.16)))
        centre = rng.uniform(-0.75, 0.75, 3) * (0.3 * canvas.size[0], *half)
        kind = rng.random()
        if kind < 0.35:
            vessel_path(canvas, centre, size * rng.uniform(0.3, 0.7))
            continue
        long = canvas.size[0] * rng.uniform(0.45, 3)
        radii = np.array([long, *(size * np.exp(rng.normal(0, 0.35, 2)))])
        turn, rough = tilted(canvas, 12), float(rng.choice([0.0, 0.1, 0.3]))
        label = lump(canvas, centre, radii, turn=turn, rough=rough)
        if kind < 0.6:
            split(canvas, label, int(rng.integers(2, 6)))
        elif kind < 0.8:
            rims[label] = size * rng.uniform(0.15, 0.4)
        elif kind < 0.9:
            inner = radii * (1, *rng.uniform(0.5, 0.85, 2))
            lump(canvas, centre, inner, turn=turn, rough=rough, over=(label,))
    return rims


def vessel_path(canvas: Canvas, centre: np.ndarray, radius: float) -> None:
    """Paint a wandering tube from before the first slice through ``centre`` beyond the last."""
    rng = canvas.rng
    label = canvas.new()
    turns = float(rng.choice([0.02, 0.05, 0.1]))
    for way in (-1.0, 1.0):
        heading = np.array([way, *rng.normal(0, 0.2, 2)])
        step = canvas.size[0] / 24
        path = wander(canvas, centre, heading, step, 30, turns)
        swell = np.exp(np.cumsum(rng.normal(0, 0.04, len(path)))).clip(0.6, 1.6)
        tube(canvas, path, radius * swell, label)


SCENES = {"patchwork": patchwork, "heap": heap, "trunk": trunk, "columns": columns}
