"""Generated cases: an endless, seeded supply of synthetic scans with known objects.

The generator is independent of the demonstration's phantoms, on which weights trained here are
scored.
"""

import numpy as np
from pydantic import Field as Setting
from pydantic import field_validator

from benchmark.errors import require_known
from benchmark.settings import Settings
from pam.preprocess import Scan
from pam.training import appearance
from pam.training.canvas import Canvas
from pam.training.cases import Case, components
from pam.training.ranges import Counts, Positive, Sides
from pam.training.scenes import SCENES
from pam.training.visibility import visible

HOLDOUT_SEED = 1_000_003
"""Seed of the cases that weights are scored on; recipes whose data use it are refused."""

VERSION = 1
"""Raise this whenever the same seed gives other voxels."""


class Generator(Settings):
    """Options of the generator.

    ``seed``: of all cases.
    ``scenes``: relative frequency of each kind of scene.
    ``slices``, ``side``: minimum and maximum number of slices, and of rows and columns.
    ``anisotropy``: minimum and maximum spacing of slices over that of pixels.
    ``visible``: minimum visible share of an object's surface (`pam.training.visibility`); less
        visible ones stay in the scan but are not objects.
    ``septa``: probability of thin layers between touching structures that look alike.
    """

    seed: int = Setting(default=0, ge=0)
    scenes: dict[str, float] = {"patchwork": 0.3, "heap": 0.3, "trunk": 0.4}
    slices: Counts = (20, 40)
    side: Sides = (96, 136)
    anisotropy: Positive = (0.7, 4.0)
    visible: float = Setting(default=0.0, ge=0, le=1)
    septa: float = Setting(default=0.0, ge=0, le=1)

    @field_validator("scenes")
    @classmethod
    def _are_drawn(cls, value: dict[str, float]) -> dict[str, float]:
        require_known("scene", value, SCENES)
        if min(value.values(), default=0) < 0 or not sum(value.values()) > 0:
            raise ValueError("scenes come with shares of 0 or more, one of them above 0")
        return value

    def case(self, number: int) -> Case:
        """Draw case ``number``: the same seed and number give the same case."""
        rng = np.random.default_rng([self.seed, VERSION, number])
        while not (case := self._drawn(rng)).objects:
            pass
        return case

    def _drawn(self, rng: np.random.Generator) -> Case:
        names = list(self.scenes)
        weights = np.array([self.scenes[name] for name in names])
        scene = SCENES[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        pixel = rng.uniform(0.6, 3.0)
        ratio = np.exp(rng.uniform(*np.log(self.anisotropy)))
        depth = int(rng.integers(self.slices[0], self.slices[1] + 1))
        side = int(rng.integers(self.side[0], self.side[1] + 1))
        spacing = (round(float(pixel * ratio), 4), round(pixel, 4), round(pixel, 4))
        canvas = Canvas(rng, (depth, side, side), spacing)
        rims = scene(canvas)
        modality = "CT" if rng.random() < 0.5 else "MR"
        paint = appearance.ct if modality == "CT" else appearance.mr
        picture = paint(canvas, rims, self.septa)
        values = np.rint(picture.values).astype(np.int16)
        labels = canvas.labels
        if self.visible:
            share = visible(labels, picture.clean, picture.noise, spacing)
            labels = np.where(share >= self.visible, np.arange(len(share)), 0)[labels]
        return Case(Scan(values, spacing, modality), tuple(components(labels)))
