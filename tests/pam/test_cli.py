"""The training commands, as a user runs them."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from benchmark.errors import UserError
from pam.cli import app

SHIPPED = Path(__file__).parents[2] / "pam" / "weights"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "tiny", "--output", "x", "--device", "gpu"], "Unknown device 'gpu'"),
        (
            ["train", "x", "--output", "x", "--dataset", "P01", "--from", "x", "--device", "gpu"],
            "gpu",
        ),
        (["train", "tiny", "--output", "x", "--all"], "--all is about the cases of a --dataset"),
        (["train", "tiny", "--output", "WEIGHTS", "--device", "cpu"], "Nothing can be written to"),
        (["holdout", "WEIGHTS", "--device", "gpu"], "Unknown device 'gpu'"),
        (["holdout", "WEIGHTS", "--switches", ""], "Switches are names with values"),
        (["holdout", "WEIGHTS", "--switches", "{thicknes: 3}"], "Did you mean: thickness"),
        (["holdout", "WEIGHTS", "--switches", "{size:"], "--switches is not valid YAML"),
        (["holdout", "WEIGHTS", "--switches", "{size: 50}"], "a multiple of 16 pixels"),
        (["holdout", "BOXES", "--switches", "{size: 50}"], "a multiple of 16 pixels"),
    ],
)
def test_a_mistake_is_told(arguments: list[str], told: str) -> None:
    shipped = {"WEIGHTS": "propmask", "BOXES": "box2mask"}
    given = [
        str(SHIPPED / f"pam-small-{shipped[word]}.safetensors") if word in shipped else word
        for word in arguments
    ]
    with pytest.raises(UserError, match=told):
        CliRunner().invoke(app, given, catch_exceptions=False)


def test_the_hold_out_scores_a_file_not_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)  # a long path would break the message over two lines
    run = CliRunner().invoke(app, ["holdout", "weights"])
    assert run.exit_code == 2
    assert "is a directory" in run.output


def test_no_gpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    weights = str(SHIPPED / "pam-small-propmask.safetensors")
    for command in (["train", "tiny", "--output", str(tmp_path)], ["holdout", weights]):
        with pytest.raises(UserError, match="torch sees no GPU here"):
            CliRunner().invoke(app, [*command, "--device", "cuda"], catch_exceptions=False)


def test_train_then_score_on_the_hold_out(tmp_path: Path) -> None:
    out, table = tmp_path / "run", tmp_path / "scores.csv"
    options = ["--output", str(out), "--device", "cpu", "--workers", "0", "--steps", "2"]
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
