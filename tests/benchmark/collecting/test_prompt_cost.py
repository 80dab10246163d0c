"""Costs of prompts by kind."""

from typing import Any

import pandas as pd

from benchmark.collecting.prompt_cost import prompt_costs


def test_costs_by_kind_at_the_guiding_slice() -> None:
    rows = [("box2d", 0.0, 1, 2), ("box2d", 0.2, 1, 2), ("box3d", 0.0, 2, 4)]
    rows += [("mask2d", 0.0, 1, clicks) for clicks in (4, 8, 10, 12)]
    rows += [("mask2d", -0.2, 1, 99)]
    table = pd.DataFrame(rows, columns=["kind", "deviation", "views", "clicks"])
    found = prompt_costs([table.iloc[:4], table.iloc[4:]])
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
    assert prompt_costs([]) == {}


def test_costs_of_prepared_prompts(shard: Any) -> None:
    found = prompt_costs([shard.prompts])
    views = {kind: row["views"] for kind, row in found.items()}
    assert {"box2d": 1, "mask2d": 1, "box3d": 2}.items() <= views.items()
    assert found["box2d"]["clicks"] == 2
    assert found["mask2d"]["clicks"] == 4  # all objects are blocks
