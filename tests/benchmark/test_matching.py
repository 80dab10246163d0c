"""Costs of prompts, and refusal to compare results of different prompts as if equal."""

from typing import Any

import pandas as pd
import pytest

from benchmark.errors import UserError
from benchmark.matching import costs, require_same_prompt


def test_costs_by_kind_at_the_guiding_slice() -> None:
    rows = [("box2d", 0.0, 1, 2), ("box2d", 0.2, 1, 2), ("box3d", 0.0, 2, 4)]
    rows += [("mask2d", 0.0, 1, clicks) for clicks in (4, 8, 10, 12)]
    rows += [("mask2d", -0.2, 1, 99)]
    table = pd.DataFrame(rows, columns=["kind", "deviation", "views", "clicks"])
    found = costs([table.iloc[:4], table.iloc[4:]])
    assert found["box2d"]["prompts"] == 1
    assert found["box3d"] == {
        "prompts": 1,
        "views": 2,
        "clicks": 4,
        "clicks_low": 4,
        "clicks_high": 4,
    }
    assert found["mask2d"]["prompts"] == 4
    assert found["mask2d"]["clicks"] == 9  # between 8 and 10
    assert found["mask2d"]["clicks_low"] == 7
    assert found["mask2d"]["clicks_high"] == 10.5
    assert costs([]) == {}


def test_costs_of_prepared_prompts(shard: Any) -> None:
    found = costs([shard.prompts])
    views = {kind: row["views"] for kind, row in found.items()}
    assert {"box2d": 1, "mask2d": 1, "box3d": 2}.items() <= views.items()
    assert found["box2d"]["clicks"] == 2
    assert found["mask2d"]["clicks"] == 4  # all objects are blocks


def scores(**kinds: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "method": method,
            "prompt": kind,
            "dataset": "D",
            "scan": "s",
            "object": name,
            "level": "object",
            "deviation": deviation,
            "prompt_hash": f"{kind}-{name}-{deviation}",
        }
        for method, kind in kinds.items()
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
    with pytest.raises(UserError, match=r"prompts of b .*differ between first, second.*2 prompts"):
        require_same_prompt(table, ["first", "second"])
