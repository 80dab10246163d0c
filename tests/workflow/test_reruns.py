"""A change reruns exactly what depends on it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmark.analysis import ANALYSES
from benchmark.prepare import scans
from benchmark.storage.files import read_json
from benchmark.storage.tables import read_table
from benchmark.study import Study
from tests.workflow.conftest import ROOT, Workplace, entry

SLAB = {"adapter": "mymethods:Slab", "prompt": "mask2d"}
BOX = {"adapter": "box-fill", "prompt": "box3d"}
INFERENCE = {"fetch", "prepare", "prompts", "predict"}


@pytest.fixture(scope="session")
def done(make_workplace: Callable[[], Workplace]) -> Workplace:
    """A workplace whose study has been run."""
    place = make_workplace()
    run = place.run(place.study(), "--verbose")
    assert run.returncode == 0, run.stdout + run.stderr
    # The line of benchmark.machine.workflow_progress, in place of those of Snakemake.
    ended = re.search(r"(\d+) of \1 jobs done \(100%\) in ", run.stderr)
    assert ended is not None
    assert "Select jobs to execute" not in run.stderr
    # Open jobs are looked at when a job has ended, not ever more often.
    assert run.stderr.count("Ready jobs: ") <= int(ended[1]) + 1
    return place


def test_a_finished_study_has_nothing_to_do(done: Workplace) -> None:
    assert done.rerun(done.study()) == set()
    folder = done.folder / "results" / "small"
    assert (folder / "report.html").stat().st_size > 10_000
    assert set(done.scores()["status"]) == {"ok"}


def test_a_new_colour_reruns_figures_and_report_alone(done: Workplace) -> None:
    other = done.study(report={"colours": {"slab": "#123456"}, "title": "Other"})
    assert done.rerun(other) == {"settings", "figure", "report", "check", "all"}
    assert done.rerun(other, "figures") == {"settings", "figure", "figures"}


def test_new_code_of_figures_and_statistics_is_run_and_nothing_before_them(
    done: Workplace, tmp_path: Path
) -> None:
    for name in ("workflow", "reports", "benchmark"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, tmp_path)
    figures = ("figures", "--snakefile", str(tmp_path / "Snakefile"))
    assert done.rerun(done.study(), *figures) == set()
    path = tmp_path / "reports" / "style.py"
    style = path.read_text(encoding="utf-8")
    path.write_text(style.replace("#0072B2", "#0072B3"), encoding="utf-8")
    assert done.rerun(done.study(), *figures) == {"figure", "figures"}
    mended = tmp_path / "benchmark" / "analysis" / "bootstrap.py"
    mended.write_text(mended.read_text(encoding="utf-8") + "# mended", encoding="utf-8")
    rules = done.rerun(done.study(), *figures[1:])
    assert {"collect", "measure", *(f"analyse_{name}" for name in ANALYSES)} <= rules
    assert not rules & {*INFERENCE, "score"}


def test_a_changed_metric_reruns_scoring_only(done: Workplace) -> None:
    rules = done.rerun(done.study(metrics={"nsd_tolerance_mm": 1.0}))
    assert "score" in rules
    assert not rules & INFERENCE


def test_a_table_of_patients_is_waited_for(done: Workplace) -> None:
    cohorts = {"A": {"table": "patients.csv"}, "B": {"table": "among its files.csv"}}
    (done.folder / "patients.csv").write_text("patient\n")
    study = done.study("cohort", analysis={"cohorts": cohorts})
    text = done.run(study, "--dry-run", "results/cohort/measures.parquet").stdout
    inputs = [line for line in text.splitlines() if "patients.csv" in line]
    assert [line.split()[:2] for line in inputs] == [["input:", "results/cohort/settings.json,"]]
    assert "among its files" not in text


def test_a_second_study_shares_runs_and_scores(done: Workplace) -> None:
    rules = done.rerun(done.study("second", methods={"another name": SLAB}))
    assert "collect" in rules
    assert not rules & {*INFERENCE, "score"}


def test_the_masks_of_one_method_are_made_anew_as_the_page_says(done: Workplace) -> None:
    record = read_json(done.folder / "results" / "small" / "record.json")
    masks = done.folder.glob(f"results/runs/{record['methods']['slab']['run']}/masks/*/*.parquet")
    named = [str(path.relative_to(done.folder)) for path in masks]
    text = done.run(done.study(), "--dry-run", "--forcerun", *named).stdout
    outputs = [line.split()[1].rstrip(",") for line in text.splitlines() if "output:" in line]
    assert {path for path in outputs if "/masks/" in path} == set(named)
    assert "results/small/report.html" in outputs


def test_an_option_reruns_its_method_alone(done: Workplace) -> None:
    changed = done.study(methods={"slab": SLAB | {"options": {"reach": 2}}, "box": BOX})
    text = done.run(changed, "--dry-run").stdout
    predicted = [line for line in text.splitlines() if "output: results/runs" in line]
    assert any("runs/slab-" in line and "/masks/" in line for line in predicted)
    assert not any("runs/box-fill-" in line for line in predicted)


def test_a_catalogue_entry_reruns_its_dataset_alone(done: Workplace) -> None:
    done.write("B.yaml", entry("B") | {"homepage": "https://example.org"})
    rules = done.rerun(done.study())
    assert {"collect", "report"} <= rules  # which tell of it
    assert not rules & {*INFERENCE, "score"}
    done.write("B.yaml", entry("B") | {"labels": {1: {"name": "lesion", "instances": False}}})
    text = done.run(done.study(), "--dry-run").stdout
    made = [line for line in text.splitlines() if "output: data/" in line]
    assert made
    assert all("data/B/" in line for line in made)
    done.write("B.yaml", entry("B"))
    assert done.rerun(done.study()) == set()


def test_a_tolerance_and_a_group_of_an_entry_rerun_no_inference(done: Workplace) -> None:
    done.write("B.yaml", entry("B") | {"split": "external"})
    assert "collect" in (rules := done.rerun(done.study()))
    assert not rules & {*INFERENCE, "score"}
    target = "results/small/scores.parquet"
    before = done.scores().set_index("dataset")["nsd"]
    labels = {1: {"name": "lesion", "nsd_tolerance_mm": 0.1}}
    for content in (entry("B") | {"labels": labels}, entry("B")):
        done.write("B.yaml", content)
        assert done.rerun(done.study(), target) == {"score", "collect"}
        assert done.run(done.study(), target).returncode == 0
        after = done.scores().set_index("dataset")["nsd"]
        assert after["A"].equals(before["A"])
        assert (after["B"] < before["B"]).all() == (content != entry("B"))


def test_new_data_and_new_weights_are_run(done: Workplace) -> None:
    weights = {
        "id": "reach",
        "name": "Reach",
        "source": {"kind": "local", "path": "w"},
        "files": ["reach.txt"],
    }
    done.write("reach.yaml", weights)
    weighted = {"adapter": "mymethods:Weighted", "prompt": "mask2d", "weights": "reach.yaml"}
    study = done.study("weighted", methods={"weighted": weighted, "slab": SLAB})
    target = "results/weighted/scores.parquet"
    assert done.run(study, target).returncode == 0
    scores = done.scores("weighted").set_index("method")
    assert set(scores.loc["weighted", "status"]) == {"skipped"}
    assert scores.loc["weighted", "reason"].str.contains("no weights: There is no file").all()
    assert set(scores.loc["slab", "status"]) == {"ok"}

    (done.folder / "w").mkdir()
    (done.folder / "w" / "reach.txt").write_text("2")
    done.add_scan("B", "case3", seed=33)
    assert {"fetch", "fetch_weights", "prepare", "prompts", "predict"} <= done.rerun(study)
    run = done.run(study, target)
    assert run.returncode == 0, run.stdout + run.stderr
    shown = run.stdout + run.stderr
    assert "output: data/B/images.parquet" in shown
    assert "output: data/A/images.parquet" not in shown
    scores = done.scores("weighted")
    assert set(scores["status"]) == {"ok"}
    assert set(scores.loc[scores["dataset"] == "B", "scan"]) == {"case1", "case2", "case3"}
    assert done.rerun(study, target) == set()
    done.write("reach.yaml", weights | {"trained_on": {"datasets": ["B"], "source": "its card"}})
    assert done.rerun(study, target) == {"collect"}


def test_a_scan_of_a_folder_reruns_its_shard_alone(done: Workplace) -> None:
    names = {scans.shard_of(name, 3): name for name in map("scan{}".format, range(30))}
    more = {scans.shard_of(name, 3): name for name in map("more{}".format, range(30))}
    for seed, name in enumerate(names.values()):
        done.add_scan("C", name, seed)
    done.write("C.yaml", entry("C") | {"shards": 3})
    study = done.study("three", datasets=["C.yaml"], methods={"slab": SLAB})

    tables = ("data/C/images", "results/prompts", "results/runs/slab")

    def remade() -> list[tuple[str, str]]:
        """Return the shards of each table that a run would make now."""
        told = done.run(study, "--until", "predict", "--dry-run").stdout
        made = rf"output: ({'|'.join(tables)})\S*/(\d)\.parquet"
        return sorted(re.findall(made, told))

    def made_of(*shards: int) -> list[tuple[str, str]]:
        return [(table, str(shard)) for table in tables for shard in shards]

    assert remade() == made_of(0, 1, 2)
    run = done.run(study, "--until", "predict")
    assert run.returncode == 0, run.stdout + run.stderr
    assert remade() == []
    folder = done.folder / "C"
    done.add_scan("C", more[2], 7)
    assert remade() == made_of(2)
    run = done.run(study, "--until", "predict")
    assert run.returncode == 0, run.stdout + run.stderr
    assert remade() == []
    folder.rename(folder.with_name("C away"))
    assert remade() == []
    folder.with_name("C away").rename(folder)
    label = folder / "labels" / f"{names[1]}.nii.gz"
    label.write_bytes(label.read_bytes())
    assert remade() == made_of(1)
    for kind in ("images", "labels"):
        (folder / kind / f"{more[2]}.nii.gz").unlink()
    assert remade() == made_of(1, 2)
    (folder / "unknown.raw").write_bytes(b"may belong to any scan")
    assert remade() == made_of(0, 1, 2)


def test_what_is_out_of_reach_for_a_while_deletes_nothing(
    done: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"kind": "local", "path": "$MY_WEIGHTS"}
    kept = {"id": "kept", "name": "Kept", "source": source, "files": ["reach.txt"]}
    done.write("mine.yaml", kept)
    monkeypatch.setenv("MY_WEIGHTS", "kept")
    (done.folder / "kept").mkdir()
    (done.folder / "kept" / "reach.txt").write_text("2")
    weighted = {"adapter": "mymethods:Weighted", "prompt": "mask2d", "weights": "mine.yaml"}
    methods = {"weighted": weighted, "slab": SLAB}
    study, target = done.study("kept", methods=methods), "results/kept/scores.parquet"
    ended = done.run(study, target)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(done.scores("kept")["status"]) == {"ok"}
    (done.folder / "kept" / "other.txt").write_text("beside them")
    assert done.rerun(study, target) == set()
    made = {path: path.read_bytes() for path in done.folder.glob("results/runs/*/masks/*/*")}

    (done.folder / "A").rename(done.folder / "away")
    (done.folder / "kept").rename(done.folder / "kept away")
    monkeypatch.delenv("MY_WEIGHTS")
    try:
        assert done.rerun(study, target) == set()
        further = {"weighted": weighted, "slab": SLAB | {"options": {"reach": 3}}}
        new = done.study("kept", methods=further)
        ended = done.run(new, "--retries", "0", "--", target)
        assert ended.returncode != 0
        assert "was there when the scan was prepared, and is not now" in ended.stdout + ended.stderr
        new = done.study("kept", methods={"weighted": weighted | {"options": {"reach": 3}}})
        ended = done.run(new, "--retries", "0", "--", target)
        assert ended.returncode != 0
        told = "To get them again: pambench weights fetch mine.yaml --from"
        assert told in ended.stdout + ended.stderr
    finally:
        (done.folder / "away").rename(done.folder / "A")
    (done.folder / "kept away").rename(done.folder / "kept")
    monkeypatch.setenv("MY_WEIGHTS", "kept")
    ended = done.run(new, target)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(done.scores("kept")["status"]) == {"ok"}
    assert {path: path.read_bytes() for path in made} == made


def test_predictions_made_elsewhere_are_read_when_they_appear(
    done: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done.folder)
    made = done.folder / "made"
    options = {"files": "made/{dataset}/{scan}", "labels": {1: "lesion"}}
    outside = {"adapter": "external", "prompt": "structure", "options": options}
    study = done.study("outside", datasets=["A.yaml"], methods={"outside": outside})
    (run,) = Study.read(yaml.safe_load(study.read_text()), "the test's study").runs.values()
    masks = done.folder / "results" / "runs" / run.id / "masks" / "A"
    for status in ("skipped", "ok"):
        ended = done.run(study, "--until", "predict")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert set(read_table(masks)["status"]) == {status}
        if status == "skipped":
            shutil.copytree(done.folder / "A" / "labels", made / "A")
            assert {"predict", "fetch", "prepare", "prompts"} & done.rerun(study) == {"predict"}
    made.rename(done.folder / "away")
    assert "predict" not in done.rerun(study)  # what was read stays
    both = done.study("outside", methods={"outside": outside})
    ended = done.run(both, "--until", "predict")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(read_table(masks.with_name("B"))["status"]) == {"skipped"}
    (done.folder / "away").rename(made)
    again = done.run(both, "--dry-run").stdout  # and what was skipped meanwhile is made up for
    assert "output: results/runs/" + run.id + "/masks/B/" in again
    assert "output: results/runs/" + run.id + "/masks/A/" not in again


def test_a_method_that_learns_is_planned_trained_and_asked_for_the_rest(done: Workplace) -> None:
    learnt = {"adapter": "mymethods:Learnt", "prompt": "structure"}
    study = done.study("learning", datasets=["A.yaml"], methods={"learnt": learnt})
    assert {"plan", "train", "predict"} <= done.rerun(study)
    assert not {"plan", "train"} & done.rerun(done.study("other", methods={"slab": SLAB}))
    ended = done.run(study, "--until", "score")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder,) = (done.folder / "results" / "runs").glob("learnt-*")
    cells = read_table(next(folder.glob("scores-*")) / "A")
    assert sorted(cells["status"]) == ["ok", "skipped"]
    assert cells["dsc"].max() > 0.9
    split = read_json(done.folder / "results" / "splits" / "0" / "A.json")
    (model,) = (done.folder / "results" / "models").glob("learnt-*/A")
    assert read_json(model / "split.json") == {"A": split}
    assert cells.loc[cells["status"] == "ok", "scan"].tolist() == split["test"]
    # As the message of a failed training says; that a used model was deleted would not be noticed.
    forced = ("--until", "score", "--forcerun", f"{model.relative_to(done.folder)}/status.json")
    assert done.rerun(study, *forced) == {"train", "predict", "score"}
    # How it is asked is nothing to a model.
    asked = {"deviations": [0, 0.1], "budgets": {"timed_objects": 1}}
    again = done.study("learning", datasets=["A.yaml"], methods={"learnt": learnt}, **asked)
    assert done.rerun(again, "--until", "score") == {"settings", "predict", "score"}
    # Nor is an option that is said to be of that; another run of the same model has it.
    methods = {"learnt": learnt | {"options": {"margin": 2}}}
    other = done.study("other", datasets=["A.yaml"], methods=methods)
    assert done.rerun(other, "--until", "score") == {"settings", "predict", "score"}
    ended = done.run(other, "--until", "score")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert done.rerun(other, "--until", "score") == set()
