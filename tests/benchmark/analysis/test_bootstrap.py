"""The hierarchical bootstrap: coverage of its intervals."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis import bootstrap
from benchmark.analysis.arrays import Array


def rows(rng: np.random.Generator, collections: int, patients: int = 6) -> pd.DataFrame:
    """Scores about 0 with effects of collection, dataset and patient; two scans a patient."""
    found: list[dict[str, Any]] = []
    for c in range(collections):
        effect = rng.normal(0, 1)
        for d in range(2):
            of_dataset = effect + rng.normal(0, 0.3)
            for p in range(patients):
                of_patient = of_dataset + rng.normal(0, 1)
                for s in range(2):
                    about = {"dataset": f"{c}.{d}", "patient": f"{p}", "scan": f"{p}.{s}"}
                    value = of_patient + rng.normal(0, 0.2)
                    found.append({**about, "structure": "x", "method": "m", "dsc": value})
    return pd.DataFrame(found)


def overall(table: pd.DataFrame, resamples: int = 200) -> Array:
    drawn = bootstrap.dataset_replicates(table, ["m"], ["dsc"], resamples, 0)
    collections = {name: name.partition(".")[0] for name in drawn}
    return bootstrap.overall_replicates(drawn, collections, 0)[:, 0, 0]


def test_coverage() -> None:
    """Of a mean over 20 collections; an interval of scans as if independent would fail."""
    rng = np.random.default_rng(0)
    hits = naive = 0
    for _ in range(60):
        table = rows(rng, 20, patients=3)
        low, high = bootstrap.interval(overall(table, 150), 0.025)
        hits += bool(low <= 0 <= high)
        half = 1.96 * table["dsc"].std() / len(table) ** 0.5
        naive += bool(abs(table["dsc"].mean()) <= half)
    assert hits / 60 >= 0.85
    assert naive / 60 < 0.75


def test_spread_over_patients_is_that_of_their_means() -> None:
    """One structure, complete: the bootstrap variance of a mean in closed form."""
    table = rows(np.random.default_rng(1), 1, patients=9)
    table = table[table["dataset"] == "0.0"]
    drawn = bootstrap.dataset_replicates(table, ["m"], ["dsc"], 4000, 0)["0.0"][:, 0, 0]
    means = table.groupby("patient")["dsc"].mean()
    assert drawn.mean() == pytest.approx(means.mean(), abs=0.03)
    assert drawn.std() == pytest.approx(means.std(ddof=0) / 3, rel=0.05)


def test_a_dataset_draws_the_same_beside_others() -> None:
    table = rows(np.random.default_rng(2), 2)
    alone = bootstrap.dataset_replicates(table[table["dataset"] == "1.0"], ["m"], ["dsc"], 50, 0)
    beside = bootstrap.dataset_replicates(table.sample(frac=1), ["m"], ["dsc"], 50, 0)
    np.testing.assert_allclose(alone["1.0"], beside["1.0"])


@pytest.mark.parametrize(
    ("values", "collections"),
    [
        ({"a": [0.0], "b": [1.0]}, {"a": "A", "b": "B"}),
        ({"a": [0.0], "b": [1.0]}, {"a": "A", "b": "A"}),
        ({"a": [0.0, 0.0, 1.0, 1.0]}, {"a": "A"}),
    ],
)
def test_each_level_is_drawn(values: dict[str, list[float]], collections: dict[str, str]) -> None:
    """Two collections, datasets of one, or equal halves of a dataset's replicates, of 0 and 1.

    The mean of two draws is 0, one half and 1 in 1, 2 and 1 of 4; of one draw, 0 and 1 in half.
    """
    n = 2000
    drawn = {name: np.resize(v, n)[:, None, None] for name, v in values.items()}
    found = bootstrap.overall_replicates(drawn, collections, 0)[:, 0, 0]
    shares = [(found == mean).mean() for mean in (0.0, 0.5, 1.0)]
    expected = (0.25, 0.5, 0.25) if len(values) == 2 else (0.5, 0.0, 0.5)
    assert shares == pytest.approx(expected, abs=0.05)


def test_an_interval_leaves_a_tail_on_either_side() -> None:
    replicates = np.linspace(0, 1, 1001)[:, None] * [1.0, np.nan]
    low, high = bootstrap.interval(replicates, 0.025)
    np.testing.assert_allclose([low, high], [[0.025, np.nan], [0.975, np.nan]])
