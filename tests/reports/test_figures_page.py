"""docs/figures.md: its commands and code run, and its table matches the code."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmark.errors import UserError
from reports.cli import app
from reports.figures import FIGURES, draw
from reports.results import Results
from reports.supplement import NAMES, SUPPLEMENT

PAGE = (Path(__file__).parents[2] / "docs" / "figures.md").read_text(encoding="utf-8")


@pytest.fixture
def place(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one study, ``results/demo``, of which nothing is drawn yet."""
    drawn = shutil.ignore_patterns("fig[0-9]*")
    shutil.copytree(study, tmp_path / "results" / "demo", ignore=drawn)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[list[str]]:
    block = re.search(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    assert block is not None
    return [line.split()[1:] for line in block[1].splitlines()]


def test_the_first_command_draws_one_figure(place: Path) -> None:
    first = commands()[0]
    assert CliRunner().invoke(app, first).exit_code == 0
    made = {path.name for path in (place / "results" / "demo" / "figures").glob("fig*")}
    assert made == {f"fig4a.{suffix}" for suffix in ("pdf", "svg", "png", "txt")}
    known = {getattr(command.callback, "__name__", "") for command in app.registered_commands}
    assert {words[0] for words in commands()} <= known


def test_the_only_study_needs_no_name(place: Path) -> None:
    done = CliRunner().invoke(app, ["figures", "--only", "fig4d"])
    assert done.exit_code == 0, done.output
    assert "results/demo/figures/fig4d" in done.output.replace("\\", "/")
    shutil.copytree(place / "results" / "demo", place / "results" / "other")
    refused = CliRunner().invoke(app, ["figures", "--only", "fig4d"])
    assert isinstance(refused.exception, UserError)
    assert "demo" in str(refused.exception)
    assert "other" in str(refused.exception)


def test_the_code_for_notebooks_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4]
    rows = [
        [f"{patient}{time}", "mine", 20 * size, 300 * size, 4000 * size]
        for patient, change in enumerate(changes)
        for time, size in (("pre", 1), ("post", change))
    ]
    columns = ["scan", "method", "diameter_mm", "area_mm2", "volume_mm3"]
    pd.DataFrame(rows, columns=columns).to_csv("measures.csv", index=False)
    patients = range(len(changes))
    followed = {"patient": patients, "time": [30 - 2 * i for i in patients], "event": 1}
    scans = {f"{time}_scan": [f"{i}{time}" for i in patients] for time in ("pre", "post")}
    pd.DataFrame({**followed, **scans}).to_csv("cohorts.csv", index=False)
    shared: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, shared)
    results = Results(place / "results" / "demo")
    assert draw("fig4a", results)[1] in capsys.readouterr().out
    assert (place / "fig4a.pdf").read_bytes().startswith(b"%PDF")
    assert "Abdomen" in (place / "mine.svg").read_text(encoding="utf-8")
    assert "mine: change of volume" in (place / "survival.svg").read_text(encoding="utf-8")


def test_an_unknown_figure_suggests_the_nearest(place: Path) -> None:
    with pytest.raises(UserError, match="fig4a"):
        draw("fig4aa", Results(place / "results" / "demo"))


def test_the_page_lists_every_figure_and_what_it_reads() -> None:
    rows = re.findall(r"^\| `(fig\w+)` \| Fig\. ([\w-]+): .* \| (.*) \|$", PAGE, flags=re.MULTILINE)
    listed = {name: (panels, re.findall(r"`(.*?)`", reads)) for name, panels, reads in rows}
    assert listed == {
        name: (entry.panels or name.removeprefix("fig"), list(entry.reads))
        for name, entry in FIGURES.items()
    }


def test_the_page_lists_every_table_with_its_number_in_the_paper() -> None:
    section = PAGE.partition("## The tables")[2].partition("## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\w, -]*?) ?\| .* \|$", section, flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(NAMES)
    listed = {name: number for name, number in rows if number}
    of_others = {"table1": "1", "dsc_by_dataset": "S5", "datasets": "S1", "windows": "S18"}
    assert listed == of_others | {
        name: entry.number for name, entry in SUPPLEMENT.items() if entry.number
    }
