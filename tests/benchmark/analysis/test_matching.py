"""Refusal to compare results of different prompts as if equal."""

from typing import Any

import pandas as pd
import pytest

from benchmark.analysis.matching import require_same_prompt
from benchmark.errors import UserError


def scores(**kinds: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "method": method,
            "prompt": kind,
            "dataset": dataset,
            "scan": scan,
            "object": name,
            "level": "object",
            "deviation": deviation,
            "prompt_hash": f"{kind}-{dataset}-{scan}-{name}-{deviation}",
        }
        for method, kind in kinds.items()
        for dataset, scan in (("D", "s"), ("D", "t"), ("E", "s"))
        for name in ("a", "b")
        for deviation in (0.0, 0.1)
    ]
    rows += [{**rows[0], "level": "structure", "object": None, "prompt_hash": None}]
    return pd.DataFrame(rows)


def test_the_same_kind_and_the_same_prompts() -> None:
    table = scores(first="box3d", second="box3d", third="box2d")
    assert require_same_prompt(table, ["first", "second"]) == "box3d"
    with pytest.raises(
        UserError, match=r"do not receive the same prompt.*first: box3d; third: box2d"
    ):
        require_same_prompt(table, ["first", "third"])
    with pytest.raises(UserError, match=r"'secnd'\. Did you mean: second"):
        require_same_prompt(table, ["first", "secnd"])


def test_prompts_of_another_rule_are_not_the_same() -> None:
    table = scores(first="box3d", second="box3d")
    changed = (table["method"] == "second") & (table["object"] == "b")
    table.loc[changed, "prompt_hash"] = "other"
    with pytest.raises(UserError, match=r"prompts of b .*differ between first, second.*6 prompts"):
        require_same_prompt(table, ["first", "second"])
