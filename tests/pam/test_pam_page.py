"""docs/pam.md: its Python blocks run in order, from a bare checkout."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pam.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    named: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE):
        exec(block, named)
    told = [float(value) for value in re.findall(r"^DSC (\S+)$", capsys.readouterr().out, re.M)]
    assert len(told) == 2
    assert min(told) > 0.9
    truth = named["truth"]

    def dsc(mask: NDArray[np.bool_]) -> float:
        return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))

    assert min(map(dsc, named["masks"])) > 0.9  # of the objects that are carried together
    assert dsc(named["mask"]) > 0.6  # from the contour, a rhombus inside the object
    assert [scale.shape[-1] for scale in named["logits"]] == [80, 40, 20, 10]
