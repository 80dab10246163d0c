"""Stability and thickness analyses on tables with known truth."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.analysis import frames, stability, thickness
from benchmark.analysis.settings import AnalysisSettings, Reach
from benchmark.errors import UserError

LEVELS = (-0.2, -0.1, 0.0, 0.1, 0.2)


def scores(drop: float, datasets: int = 8, slices: int = 10) -> pd.DataFrame:
    """DSC falls by ``drop`` at 20 %; the objects of every second dataset have but 4 slices."""
    rng = np.random.default_rng(4)
    rows: list[dict[str, Any]] = []
    for d in range(datasets):
        for s in range(3):
            base = rng.uniform(0.5, 0.9)
            for deviation in LEVELS:
                n = slices if d % 2 else 4
                shift = int(np.floor(abs(deviation) * n)) * np.sign(deviation)
                value = base - drop * abs(deviation) / 0.2 * (shift != 0) + rng.normal(0, 0.002)
                about: dict[str, Any] = {"dataset": f"D{d}", "scan": f"s{s}"}
                about |= {"structure": "liver", "method": "m"}
                about |= {"deviation": deviation, "dsc": value, "patient": f"s{s}"}
                rows.append({**about, "level": "structure"})
                rows.append({**about, "level": "object", "object": f"s{s}/1", "shift": shift})
    return frames.checked_scores(pd.DataFrame(rows))


def result(table: pd.DataFrame, **settings: Any) -> Any:
    found = stability.analyse({"scores": table}, AnalysisSettings(**settings))["stability_tests"]
    return found.set_index(["selection", "test"]).sort_index()


def test_only_effective_shifts_count() -> None:
    table = result(scores(drop=0.05))
    moved = table.loc[("effective", "TOST")].set_index("level")
    assert moved["objects"].to_dict() == {0.1: 12, 0.2: 12}
    assert moved["unaffected"].to_dict() == {0.1: 12, 0.2: 12}
    assert moved["difference"].to_dict() == pytest.approx({0.1: -0.025, 0.2: -0.05}, abs=2e-3)
    everything = table.loc[("all", "TOST")].set_index("level")
    assert everything["difference"][0.2] == pytest.approx(-0.025, abs=2e-3)
    assert not moved["equivalent"].any()


def test_the_papers_anova_is_scipys_over_dataset_means() -> None:
    table = scores(drop=0.05)
    rows = table[table["level"] == "structure"]
    means = rows.assign(level=rows["deviation"].abs()).groupby(["level", "dataset"])["dsc"].mean()
    found = stats.f_oneway(*means.unstack().to_numpy())
    ours = result(table).loc[("all", "one-way ANOVA")].iloc[0]
    assert ours["p"] == pytest.approx(found.pvalue)
    assert (ours["n"], ours["groups"]) == (8, 3)


def test_a_drop_that_the_anova_misses_is_found_and_stability_shown() -> None:
    falling, stable = result(scores(drop=0.03)), result(scores(drop=0.0))
    assert falling.loc[("all", "one-way ANOVA"), "p"].item() > 0.5
    assert falling.loc[("effective", "repeated-measures ANOVA"), "p"].item() < 0.001
    assert stable.loc[("effective", "TOST"), "equivalent"].all()
    assert not result(scores(0.0), margin=0.0001).loc[("effective", "TOST"), "equivalent"].any()


def test_a_failure_at_one_sign_is_not_averaged_away() -> None:
    table = scores(drop=0.05)
    whole = result(table)
    at = (table["dataset"] == "D1") & (table["scan"] == "s0") & (table["deviation"] == -0.2)
    failed = result(table.assign(dsc=table["dsc"].mask(at), status=np.where(at, "failed", "ok")))
    for selection in ("all", "effective"):
        before = whole.loc[(selection, "TOST")].set_index("level")
        after = failed.loc[(selection, "TOST")].set_index("level")
        assert (after["missing"] - before["missing"]).to_dict() == {0.1: 0, 0.2: 1}
        assert (after["objects"] - before["objects"]).to_dict() == {0.1: 0, 0.2: -1}
        anova = failed.loc[(selection, "repeated-measures ANOVA")].iloc[0]
        assert anova["missing"] == 1
    rest = table[~((table["dataset"] == "D1") & (table["scan"] == "s0"))]
    lone = result(rest).loc[("effective", "TOST")].set_index("level")
    after = failed.loc[("effective", "TOST")].set_index("level")
    assert after["difference"][0.2] == pytest.approx(lone["difference"][0.2])


def test_a_sign_that_moves_nothing_needs_no_value() -> None:
    table = scores(drop=0.05)
    at = (table["deviation"] == -0.2) & (table["level"] == "object")
    still = table.assign(shift=table["shift"].mask(at, 0), dsc=table["dsc"].mask(at))
    after = result(still).loc[("effective", "TOST")].set_index("level")
    assert after["objects"][0.2] == 12
    assert after["missing"][0.2] == 0


def test_shifts_that_are_not_known() -> None:
    table = result(scores(drop=0.05).assign(shift=np.nan))
    assert table.loc["effective", "reason"].tolist() == [
        "which objects a level changed is not known"
    ]
    assert table.loc["all", "reason"].eq("").all()


def thick(slice_mm: float, most: int | None = 10, least: int = 0) -> Any:
    table = scores(drop=0.05)
    table = table[table["deviation"].isin([0.0, 0.1, 0.2])]
    names = {0.0: "", 0.1: "ten", 0.2: "forty"}
    table = table.assign(variant=table["deviation"].map(names), deviation=0.0, shift=0)
    variants = {"ten": 10.0, "forty": 40.0}
    reach = Reach(plain=20, variants=variants, least_slices=least, most_slices=most)
    objects = table[table["level"] == "object"].drop_duplicates(["dataset", "object"])
    objects = objects[["dataset", "object"]].assign(slice_mm=slice_mm)
    settings = AnalysisSettings(thickness={"m": reach})
    return thickness.analyse({"scores": table, "objects": objects}, settings)


@pytest.mark.parametrize(
    ("slice_mm", "least", "most", "counted"),
    [
        (1.0, 0, 10, {10.0: 0, 40.0: 0}),  # 10, 10, 10 slices
        (1.5, 0, 10, {10.0: 24, 40.0: 0}),  # 6, 10, 10
        (5.0, 0, 10, {10.0: 24, 40.0: 24}),  # 2, 4, 8
        (1.0, 0, None, {10.0: 24, 40.0: 24}),
        (50.0, 0, 10, {10.0: 0, 40.0: 0}),  # 0, 0, 0
        (12.0, 0, 40, {10.0: 24, 40.0: 24}),  # 0, 1, 3
        (12.0, 1, 40, {10.0: 0, 40.0: 24}),  # 1, 1, 3
    ],
)
def test_only_effective_reaches_count(
    slice_mm: float, least: int, most: int | None, counted: dict[float, int]
) -> None:
    found = thick(slice_mm, most, least)["thickness_tests"]
    rows = found[(found["selection"] == "effective") & (found["test"] == "TOST")]
    assert dict(zip(rows["level"], rows["objects"], strict=True)) == counted
    assert (rows["objects"] + rows["unaffected"] == 24).all()


def four_reaches(slice_mm: Any) -> tuple[pd.DataFrame, Any]:
    """Scores of 8 datasets with 3 objects each, ``slice_mm`` (24,), and the tests of "effective".

    10, 20, 30 and 40 mm are 4, 8, 10 and 10 slices of 2.5 mm, and 2, 4, 6 and 8 of 5 mm.
    """
    rng = np.random.default_rng(1)
    names = {"": 20.0, "ten": 10.0, "thirty": 30.0, "forty": 40.0}
    places = [(f"D{d}", f"s{s}") for d in range(8) for s in range(3)]
    table = pd.DataFrame(
        [
            {"dataset": d, "scan": s, "structure": "x", "method": "m", "variant": variant}
            | {"level": "object", "object": s, "dsc": rng.uniform(0.5, 0.9)}
            for d, s in places
            for variant in names
        ]
    )
    objects = pd.DataFrame(places, columns=["dataset", "object"]).assign(slice_mm=slice_mm)
    variants = {name: mm for name, mm in names.items() if name}
    reach = Reach(plain=20, variants=variants, most_slices=10)
    found = thickness.analyse(
        {"scores": frames.checked_scores(table), "objects": objects},
        AnalysisSettings(thickness={"m": reach}),
    )["thickness_tests"]
    return table, found[found["selection"] == "effective"].set_index("test")


def test_levels_that_are_the_same_to_an_object_are_not_compared() -> None:
    table, rows = four_reaches(np.repeat([2.5, 5.0], 12))
    row = rows.loc["one-way ANOVA"]
    assert row[["n", "objects", "unaffected", "missing"]].tolist() == [4, 12, 12, 0]
    far = table[table["dataset"].isin(["D4", "D5", "D6", "D7"])]
    means = far.groupby(["variant", "dataset"])["dsc"].mean().unstack()
    assert row["p"] == pytest.approx(stats.f_oneway(*means.to_numpy()).pvalue)
    assert rows.loc["TOST", "objects"].tolist() == [24, 24, 24]


def test_levels_that_are_the_same_to_every_object_have_no_anova() -> None:
    _, rows = four_reaches(2.5)
    anovas = rows.drop("TOST")
    assert anovas["reason"].str.startswith("there is no object to which every level").all()
    assert anovas["unaffected"].tolist() == [24, 24]
    assert rows.loc["TOST", "p"].notna().all()


def test_levels_and_means_of_the_values() -> None:
    found = thick(5.0)["thickness_values"]
    assert sorted(set(found["level"])) == [10, 20, 40]
    assert found[found["level"] == 20].eval("mean == baseline_mean").all()


def test_variants_do_not_count_as_moved_guides_nor_these_as_variants() -> None:
    moved = scores(drop=0.05)
    plain = moved[moved["deviation"] == 0]
    rows = [moved, plain.assign(variant="ten", dsc=plain["dsc"] - 0.2)]
    both = pd.concat([*rows, moved.assign(method="control")], ignore_index=True)
    pd.testing.assert_frame_equal(result(both, controls=("control",)), result(moved))
    reach = Reach(plain=20, variants={"ten": 10.0}, most_slices=10)
    settings = AnalysisSettings(thickness={"m": reach})
    found = thickness.analyse({"scores": both}, settings)["thickness_tests"]
    tost = found[(found["selection"] == "all") & (found["test"] == "TOST")]
    assert tost["objects"].tolist() == [24]
    # without the table of objects, the distance of their slices is not known
    effective = found[found["selection"] == "effective"]
    assert effective["reason"].tolist() == ["which objects a level changed is not known"]
    values = thickness.analyse({"scores": both}, settings)["thickness_values"]
    np.testing.assert_allclose(values["baseline_mean"] - values["mean"], np.repeat([0, 0.2], 8))


def test_unknown_method_and_variant_are_named() -> None:
    for method, variants in (("n", {}), ("m", {"thick": 10.0})):
        settings = AnalysisSettings(thickness={method: Reach(plain=20, variants=variants)})
        with pytest.raises(UserError, match=r"analysis\.thickness: Unknown"):
            thickness.analyse({"scores": scores(0.0)}, settings)
