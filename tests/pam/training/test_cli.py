"""The commands, as a person runs them."""

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from pam.training.cli import app


def test_train_then_score_on_the_hold_out(tmp_path: Path) -> None:
    out, table = tmp_path / "run", tmp_path / "scores.csv"
    options = ["--out", str(out), "--device", "cpu", "--workers", "0", "--steps", "2"]
    run = CliRunner().invoke(app, ["train", "tiny", *options], catch_exceptions=False)
    assert run.exit_code == 0
    weights = out / "propmask.safetensors"
    assert run.stdout.strip() == str(weights)
    assert {path.name for path in out.iterdir()} >= {"checkpoint.pt", "curve.csv", "record.json"}

    options = [
        "--cases",
        "1",
        "--visible",
        "0.5",
        "--output",
        str(table),
        "--switches",
        "{thickness: 3}",
    ]
    run = CliRunner().invoke(app, ["holdout", str(weights), *options], catch_exceptions=False)
    assert run.exit_code == 0
    scores = pd.read_csv(table)
    assert set(scores["distance"]) <= {0, 1, 2, 3, 4, 6, 8, 10}
    assert scores["dsc"].between(0, 1).all()
    absent = scores[scores["absent"]]
    assert set(absent["dsc"]) | set(absent["copied"]) <= {0.0, 1.0}
