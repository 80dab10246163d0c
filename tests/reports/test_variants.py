"""The table of variants matches the scores."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmark.storage.files import read_json, write_json
from reports import html, variants
from reports.formatting import NONE
from reports.results import Results


def test_variants_are_averaged_over_scans_structures_and_datasets(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made(tmp_path, 3, 2)
    scores = pd.read_parquet(folder / "scores.parquet")
    plain = scores[scores["method"] == "PAM-1"]
    # The variant misses a scan of one dataset and is worse by a factor that differs by dataset.
    factor = plain["dataset"].map({"D01": 0.5, "D02": 0.8, "D03": 0.9})
    strict = plain.assign(variant="strict", dsc=plain["dsc"] * factor)
    lost = (strict["dataset"] == "D02") & (strict["scan"] == "scan0")
    strict.loc[lost, ["dsc", "status"]] = [None, "failed"]
    moved = plain.assign(deviation=0.2, dsc=0.0)
    other = plain.assign(method="classic-0", variant="strict", dsc=0.0)
    every = pd.concat([scores, strict, moved, other], ignore_index=True)
    every.to_parquet(folder / "scores.parquet")
    record = read_json(folder / "record.json")
    record["methods"]["PAM-1"]["variants"] = {
        "strict": {"reach_mm": 20, "box": {"by": "full", "of": [1, 2]}}
    }
    write_json(folder / "record.json", record)

    table = variants.variants(Results(folder))
    assert [row[:3] for row in table["rows"]] == [
        ["PAM-1", "(plain)", NONE],
        ["PAM-1", "strict", "reach_mm 20, box.by full, box.of 1, 2"],
    ]
    rows = {"(plain)": plain, "strict": strict}
    for _, variant, _, dsc, cells, datasets in table["rows"]:
        mine = rows[variant][rows[variant]["level"] == "structure"]
        means = [
            pd.Series([part["dsc"].mean() for _, part in here.groupby("structure")]).mean()
            for _, here in mine.groupby("dataset")
        ]
        assert dsc == f"{pd.Series(means).mean():.3f} ± {pd.Series(means).std():.3f}"
        assert cells == f"{(mine['status'] == 'ok').sum()}/{len(mine)}"
        assert datasets == "3/3"
    whole = Results(folder).overall
    first = whole[(whole["method"] == "PAM-1") & (whole["metric"] == "dsc")].iloc[-1]
    assert table["rows"][0][3] == f"{first['mean']:.3f} ± {first['sd']:.3f}"
    assert "Variants of the methods: DSC" in html.render(Results(folder))


def test_a_study_without_variants_has_no_table_of_them(study: Path) -> None:
    assert variants.variants(Results(study)) == {}


def test_variants_without_a_score_are_no_error(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made(tmp_path, 1, 2)
    record = read_json(folder / "record.json")
    record["methods"]["PAM-1"]["variants"] = {"strict": {}}
    write_json(folder / "record.json", record)
    path = folder / "scores.parquet"
    pd.read_parquet(path).head(0).to_parquet(path)
    assert variants.variants(Results(folder))["rows"] == []
