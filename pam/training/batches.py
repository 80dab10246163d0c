"""Batches of tasks, in blocks, as a pure function of seed and step, so that training resumes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from benchmark.errors import UserError
from pam.training.recipe import Recipe
from pam.training.tasks import Task

_TRIES = 50


class Blocks(Dataset[list[Task]]):
    """Dataset of blocks of ``recipe.batches`` successive batches, each from cases of its own."""

    def __init__(self, recipe: Recipe, first: int = 0, rank: int = 0, world: int = 1) -> None:
        """Start with block ``first``; process ``rank`` of ``world`` draws cases of its own."""
        self.recipe, self.first, self.rank, self.world = recipe, first, rank, world

    def __len__(self) -> int:
        """Number of blocks left."""
        return max(-(-self.recipe.steps // self.recipe.batches) - self.first, 0)

    def __getitem__(self, index: int) -> list[Task]:
        """Draw cases, draw tasks from them, and shuffle these into batches."""
        recipe = self.recipe
        number = (self.first + index) * self.world + self.rank
        rng = np.random.default_rng([recipe.seed, number])
        tasks = [
            task
            for k in range(recipe.block)
            for task in self._tasks(number * recipe.block + k, rng)
        ]
        order = rng.permutation(len(tasks))
        return [
            Task.stack([tasks[i] for i in order[start : start + recipe.batch]])
            for start in range(0, len(tasks), recipe.batch)
        ]

    def _tasks(self, number: int, rng: np.random.Generator) -> Iterator[Task]:
        case = self.recipe.data.case(number)
        for _ in range(self.recipe.uses):
            yield self.recipe.augmentation(self._drawn(case, rng), rng)

    def _drawn(self, case: Any, rng: np.random.Generator) -> Task:
        for _ in range(_TRIES - 1):
            try:
                return self.recipe.tasks.draw(case, rng)
            except UserError:  # a slice of constant intensity: draw another object
                continue
        return self.recipe.tasks.draw(case, rng)


def batches(recipe: Recipe, step: int, rank: int, world: int, workers: int) -> Iterator[Task]:
    """Yield the batches from ``step`` to the last, made by ``workers`` processes (0: this one)."""
    first, skip = divmod(step, recipe.batches)
    loader = DataLoader(
        Blocks(recipe, first, rank, world),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=1 if workers else None,
    )
    left = recipe.steps - step
    for block in loader:
        for batch in block[skip:][:left]:
            yield batch
            left -= 1
        skip = 0
