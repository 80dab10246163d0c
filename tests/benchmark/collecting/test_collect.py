"""From the shards of a study to its tables, and the check of how much was lost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmark import inference, objects, prepare, prompts, scoring
from benchmark.catalogue import Dataset
from benchmark.collecting.collect import (
    STUDY_FAILURE_SCHEMA,
    STUDY_SCORE_SCHEMA,
    STUDY_TIME_SCHEMA,
    collect,
)
from benchmark.collecting.losses import require_within_budget
from benchmark.collecting.study_record import DatasetRecord, MethodRecord
from benchmark.errors import UserError
from benchmark.storage import paths
from benchmark.storage.files import read_json, write_json
from benchmark.storage.tables import read_table, write_table
from benchmark.study import Study
from benchmark.weights import registry as weights
from benchmark.weights import store as weights_store

METHODS: dict[str, Any] = {
    "fill": {"adapter": "baselines.controls:BoxFill", "prompt": "box3d", "weights": "net.yaml"},
    "empty": {"adapter": "baselines.controls:Empty", "prompt": "mask2d"},
    "twin": {"adapter": "baselines.controls:Empty", "prompt": "mask2d"},
}
WEIGHTS = {"id": "net", "name": "Net", "source": {"kind": "manual"}, "files": ["net.pt"]}
TRAINED_ON = {"datasets": ["from T2"], "others": ["a private one"], "source": "its card"}


def through(study: Study, with_weights: bool) -> None:
    """Run the stages of a study in the working directory, as the workflow does."""
    store = paths.at(paths.WEIGHTS_STATUS, weights="net")
    net = weights.load("net.yaml")
    weights_store.write_status(weights_store.fetch(net, store.parent), net, store.parent)
    for entry in study.entries.values():
        status = entry.source.fetch(paths.raw_folder(entry.id))
        write_json(paths.at(paths.STATUS, dataset=entry.id), status.model_dump())
        for shard in range(entry.shards):
            at = {"dataset": entry.id, "shard": shard}

            def write(rows: Any, schema: Any, pattern: str, **fields: Any) -> pd.DataFrame:
                path = Path(pattern.format(**fields))
                write_table(rows, schema, path)
                return read_table(path)

            got = prepare.prepare(entry, status, shard)
            images = write(got.images, prepare.IMAGE_SCHEMA, paths.IMAGES, **at)
            found = write(got.objects, objects.SCHEMA, paths.OBJECTS, **at)
            reference = write(got.reference, objects.REFERENCE_SCHEMA, paths.REFERENCE, **at)
            write(got.failures, prepare.FAILURE_SCHEMA, paths.SET_ASIDE, **at)
            rows = prompts.shard_rows(images, found, reference, study.prompt_rules.deviations)
            rules = study.prompt_rules.id
            asked = write(rows, prompts.SCHEMA, paths.PROMPTS, rules=rules, **at)
            for run in {run.id: run for run in study.runs.values()}.values():
                of_run = {"run": run.id, **at}
                have = status if with_weights else status.model_copy(update={"state": "manual"})
                done = inference.predict(
                    run, images, asked, model=inference.Model(have if run.weights else None)
                )
                masks = write(done.masks, inference.MASK_SCHEMA, paths.MASKS, **of_run)
                write(done.times, inference.TIME_SCHEMA, paths.TIMES, **of_run)
                inputs = scoring.Inputs(images, found, reference, asked, masks)
                scores = scoring.score(run, study.scoring, inputs)
                where = {"scoring": study.scoring.id, **of_run}
                write(scores, scoring.SCHEMA, paths.SCORES, **where)


Collected = Callable[..., Path]


@pytest.fixture
def collected(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entry: Callable[..., Dataset],
    save_scan: Callable[..., None],
) -> Collected:
    """Run a study over two datasets of two shards each and collect it; its folder."""
    monkeypatch.chdir(tmp_path)

    def run(
        *,
        bad: bool = False,
        with_weights: bool = True,
        absent: bool = False,
        held_back: dict[str, list[str]] | None = None,
        methods: dict[str, Any] = METHODS,
        **told: Any,
    ) -> Path:
        for name in ("T1", "T2"):
            for scan in ("a", "c", "d", "e"):
                save_scan(tmp_path / name, scan)
            made = entry(tmp_path / name, id=name, collection=f"from {name}", shards=2, **told)
            Path(f"{name}.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json")))
        if bad:
            Path("T1/labels/a.nii.gz").unlink()
        if absent:
            Path("T2").rename("elsewhere")
        Path("net.yaml").write_text(yaml.safe_dump({**WEIGHTS, "trained_on": TRAINED_ON}))
        content = {"study": "s", "datasets": ["T1.yaml", "T2.yaml"], "methods": methods}
        for name, test in (held_back or {}).items():
            content["training"] = {"references": ["empty"]}
            write_json(
                paths.at(paths.SPLIT, seed=0, dataset=name),
                {"seed": 0, "train": [*{*"acde"} - {*test}], "test": test},
            )
        study = Study.read(content, "study.yaml")
        through(study, with_weights)
        collect(study, Path("results/s"))
        return Path("results/s")

    return run


def test_three_tables_and_the_record(collected: Collected) -> None:
    folder = collected()
    scores = read_table(folder / "scores.parquet")
    assert list(scores.columns) == STUDY_SCORE_SCHEMA.names
    # 3 methods x 2 datasets x 4 scans x (3 objects + 2 structures)
    assert len(scores) == 3 * 2 * 4 * 5
    assert set(scores["status"]) == {"ok"}
    keys = ["method", "dataset", "scan", "level", "structure", "object", "variant", "deviation"]
    assert not scores.duplicated(keys).any()
    assert set(zip(scores["dataset"], scores["collection"], strict=True)) == {
        ("T1", "from T1"),
        ("T2", "from T2"),
    }
    images, found = (read_table(folder / f"{name}.parquet") for name in ("images", "objects"))
    assert images.groupby("dataset").size().to_dict() == {"T1": 4, "T2": 4}
    assert list(found.columns) == [*objects.SCHEMA.names, "slice_mm"]
    spacing = images.drop_duplicates("scan").set_index("scan")["spacing_z"]
    assert (found["slice_mm"] == found["scan"].map(spacing)).all()
    assert set(found["object"]) == set(scores["object"].dropna())
    times = read_table(folder / "times.parquet")
    assert list(times.columns) == STUDY_TIME_SCHEMA.names
    assert set(times["method"]) == set(METHODS)
    failures = read_table(folder / "failures.parquet")
    assert list(failures.columns) == STUDY_FAILURE_SCHEMA.names
    assert failures.empty
    record = read_json(folder / "record.json")
    assert record["datasets"]["T1"]["scans"] == 4
    assert record["datasets"]["T1"]["objects"] == 12
    assert record["datasets"]["T1"]["state"] == "ready"
    assert record["methods"]["empty"]["run"] == record["methods"]["twin"]["run"]
    assert record["methods"]["fill"]["weights"] == "net.yaml"
    assert record["methods"]["fill"]["weights_trained_on"] == ["from T2", "a private one"]
    assert record["methods"]["fill"]["weights_trained_on_source"] == "its card"
    assert record["methods"]["fill"]["weights_state"] == "manual"
    assert "pambench weights fetch net" in record["methods"]["fill"]["weights_reason"]
    assert record["methods"]["fill"]["made_by"]["python"]
    assert record["methods"]["fill"]["shards_on"] == {}
    assert Study.read(record["study"], "record").study == "s"
    assert set(record["methods"]["fill"]) == set(MethodRecord.model_fields)
    assert record["methods"]["empty"]["weights"] is None  # of weights that are none, nothing else
    assert "weights_name" not in record["methods"]["empty"]
    of_splits = {"patients", "held_back"}
    assert set(record["datasets"]["T1"]) == set(DatasetRecord.model_fields) - of_splits
    require_within_budget(folder, 0.0)


def test_the_devices_of_all_shards_are_recorded(collected: Collected) -> None:
    record = read_json(collected() / "record.json")
    study = Study.read(record["study"], "record")
    devices = [{"device": "cuda", "gpu": "H100"}, {"device": "cpu"}, {"device": "cpu"}, {}]
    masks = [path for _, path in study.shards(paths.MASKS, run=study.runs["fill"].id)]
    for path, facts in zip(masks, devices, strict=True):
        write_table(read_table(path), inference.MASK_SCHEMA, path, facts=facts)
    collect(study, Path("results/s"))
    methods = read_json(Path("results/s/record.json"))["methods"]
    assert methods["fill"]["shards_on"] == {"H100": 1, "cpu": 2}
    assert methods["empty"]["shards_on"] == {}


def test_shards_of_two_states_of_a_method_are_recorded(collected: Collected) -> None:
    record = read_json(collected() / "record.json")
    study = Study.read(record["study"], "record")
    masks = [path for _, path in study.shards(paths.MASKS, run=study.runs["fill"].id)]
    for number, path in enumerate(masks):
        facts = {"source": {"fill.py": str(number // 2), "same.py": "0"}}
        write_table(read_table(path), inference.MASK_SCHEMA, path, facts=facts)
    collect(study, Path("results/s"))
    methods = read_json(Path("results/s/record.json"))["methods"]
    assert methods["fill"]["mixed_source"] == ["fill.py"]
    assert methods["empty"]["mixed_source"] == []


def test_cells_that_the_weights_saw_are_marked(collected: Collected) -> None:
    scores = read_table(collected() / "scores.parquet")
    seen = scores[scores["contaminated"].astype(bool)]
    assert set(zip(seen["method"], seen["dataset"], strict=True)) == {("fill", "T2")}
    assert len(seen) == 20


def test_datasets_that_overlap_are_one_collection(collected: Collected) -> None:
    """The bootstrap draws them together; the split of patients goes by the source collection."""
    folder = collected(overlaps=("T1", "T2"))
    assert set(read_table(folder / "scores.parquet")["collection"]) == {"from T1"}
    assert set(read_table(folder / "images.parquet")["collection"]) == {"from T1", "from T2"}


@pytest.mark.parametrize(("view", "slice_mm"), [("coronal", 1.0), ("sagittal", 1.5)])
def test_slices_are_apart_by_the_spacing_of_their_view(
    view: str, slice_mm: float, collected: Collected
) -> None:
    folder = collected(view=view)
    images, found = (read_table(folder / f"{name}.parquet") for name in ("images", "objects"))
    assert set(zip(*(images[f"spacing_{a}"] for a in "zyx"), strict=True)) == {(3.0, 1.0, 1.5)}
    assert set(found["slice_mm"]) == {slice_mm}


def test_what_was_set_aside_is_listed(collected: Collected) -> None:
    folder = collected(bad=True)
    failures = read_table(folder / "failures.parquet")
    (row,) = failures.to_dict("records")
    assert (row["dataset"], row["scan"], row["stage"]) == ("T1", "a", "prepare")
    assert "labels/a.nii.gz" in row["reason"]
    assert pd.isna(row["method"])
    assert read_json(folder / "record.json")["datasets"]["T1"]["set_aside"] == 1
    require_within_budget(folder, 1 / 8)
    with pytest.raises(UserError, match=r"1 of 8 scans were lost, .*budget of 10%"):
        require_within_budget(folder, 0.1)


def test_what_an_entry_tells_of_its_scans_is_recorded(collected: Collected) -> None:
    about: dict[str, Any] = {"scans": 5, "spacing_note": "It is lost.", "quirks": ["One.", "Two."]}
    record = read_json(collected(**about) / "record.json")
    entry = record["datasets"]["T1"]
    assert (entry["scans"], entry["published"]) == (4, 5)
    assert entry["spacing_note"] == "It is lost."
    assert entry["quirks"] == ["One.", "Two."]


def test_held_back_patients_are_counted(collected: Collected) -> None:
    folder = collected(held_back={"T1": ["a", "c"], "T2": []})
    record = read_json(folder / "record.json")["datasets"]
    counts = {name: (entry["held_back"], entry["patients"]) for name, entry in record.items()}
    assert counts == {"T1": (2, 4), "T2": (0, 4)}


def test_a_method_without_weights_is_skipped_and_no_loss(collected: Collected) -> None:
    folder = collected(with_weights=False)
    scores, failures = (read_table(folder / f"{n}.parquet") for n in ("scores", "failures"))
    assert set(scores.loc[scores["method"] == "fill", "status"]) == {"skipped"}
    assert set(scores.loc[scores["method"] != "fill", "status"]) == {"ok"}
    assert len(failures) == 2 * 4 * 3
    assert set(failures["method"]) == {"fill"}
    assert set(failures["stage"]) == {"predict"}
    assert failures["object"].notna().all()
    assert failures["reason"].str.startswith("no weights").all()
    require_within_budget(folder, 0.0)


def test_a_dataset_that_waits_for_a_person_is_no_loss(collected: Collected) -> None:
    folder = collected(absent=True)
    scores, failures = (read_table(folder / f"{n}.parquet") for n in ("scores", "failures"))
    assert set(scores["dataset"]) == {"T1"}
    (row,) = failures.to_dict("records")
    assert (row["dataset"], row["scan"], row["stage"]) == ("T2", None, "fetch")
    record = read_json(folder / "record.json")["datasets"]["T2"]
    assert (record["state"], record["scans"], record["set_aside"]) == ("manual", 0, 0)
    require_within_budget(folder, 0.0)


def test_scans_and_objects_are_counted_where_no_method_has_cells_of_objects(
    collected: Collected,
) -> None:
    named = {"adapter": "tests.benchmark.scoring.test_scoring:Bright", "prompt": "structure"}
    folder = collected(methods={"named": named})
    record = read_json(folder / "record.json")["datasets"]["T1"]
    assert (record["scans"], record["objects"]) == (4, 12)


def cells(dataset: str = "T1", method: str = "one", /, **status: int) -> pd.DataFrame:
    about = {"dataset": dataset, "scan": "a", "method": method, "prompt": "box3d"}
    rows = [
        {**about, "level": level, "status": name}
        for name, count in status.items()
        for level in ["object"] * count + ["structure"]
    ]
    return pd.DataFrame(rows)


def check_cells(
    scores: pd.DataFrame, share: float, folder: Path, aside: Sequence[dict[str, Any]] = ()
) -> None:
    write_table(scores, STUDY_SCORE_SCHEMA, folder / "scores.parquet")
    write_table(aside, STUDY_FAILURE_SCHEMA, folder / "failures.parquet")
    require_within_budget(folder, share)


def test_cells_without_objects_count_in_the_budget(tmp_path: Path) -> None:
    lost = cells(failed=1)
    check_cells(lost.assign(prompt="box3d", level="structure"), 0.5, tmp_path)
    with pytest.raises(UserError, match="cells of one were lost"):
        check_cells(lost.assign(prompt="structure", level="structure"), 0.5, tmp_path)


@pytest.mark.parametrize(
    ("status", "share", "lost"),
    [
        ({"ok": 8, "failed": 2}, 0.2, False),
        ({"ok": 8, "failed": 2}, 0.19, True),
        ({"ok": 7, "failed": 3}, 0.2, True),
        ({"ok": 1, "skipped": 99}, 0.0, False),
        ({"ok": 1, "failed": 1, "skipped": 98}, 0.2, True),
    ],
)
def test_the_budget_of_cells(
    status: dict[str, int], share: float, lost: bool, tmp_path: Path
) -> None:
    if lost:
        with pytest.raises(UserError, match=r"cells of one were lost.*lost_share"):
            check_cells(cells(**status), share, tmp_path)
    else:
        check_cells(cells(**status), share, tmp_path)


def test_many_methods_do_not_hide_one_that_fails(tmp_path: Path) -> None:
    good = [cells("T1", f"good {number}", ok=10) for number in range(9)]
    both = pd.concat([*good, cells("T1", "bad", ok=7, failed=3)])
    check_cells(both, 0.3, tmp_path)
    with pytest.raises(UserError, match=r"^3 of 10 cells of bad were lost"):
        check_cells(both, 0.2, tmp_path)


def test_datasets_lost_whole_count_in_the_budget(tmp_path: Path) -> None:
    used = pd.concat([cells(f"T{number}", ok=10) for number in range(3)])
    fetched = {"dataset": "absent", "stage": "fetch"}
    unread = {"dataset": "unread", "stage": "prepare"}
    check_cells(used, 0.0, tmp_path, [fetched])
    check_cells(used, 0.25, tmp_path, [fetched, unread])
    with pytest.raises(UserError, match=r"^1 of 4 whole datasets were lost"):
        check_cells(used, 0.2, tmp_path, [fetched, unread])
    # Of a dataset of which scans are left, these are no loss of the whole.
    some = [{"dataset": "T1", "scan": "b", "stage": "prepare"}]
    with pytest.raises(UserError, match=r"^1 of 4 scans were lost"):
        check_cells(used, 0.2, tmp_path, some)
    all_of_one = [{**unread, "scan": scan} for scan in "bc"]
    with pytest.raises(UserError, match=r"^2 of 5 scans; 1 of 4 whole datasets were lost"):
        check_cells(used, 0.2, tmp_path, all_of_one)
