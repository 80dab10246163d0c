"""An estimate is counts times rates, against sums by hand."""

import csv
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmark import catalogue, objects, phantoms, prepare
from benchmark.cli import app
from benchmark.errors import UserError
from benchmark.overview.estimate import Rates, count, longest_job, work
from benchmark.overview.estimate_text import longest, memory, text, trainings
from benchmark.settings import load_yaml
from benchmark.sources.phantom import PhantomSource
from benchmark.storage import paths
from benchmark.storage.tables import write_table
from benchmark.study import Study

ROOT = Path(__file__).parents[3]
STUDY: dict[str, Any] = {
    "study": "s",
    "datasets": ["D17", "D33"],  # 41 of a spleen; 32 of the prostate's zones, by T2 and ADC
    "deviations": [-0.1, 0, 0.1],
    "methods": {
        "slow": {"adapter": "pam-2dmask", "prompt": "mask2d", "weights": "pam-small"}
        | {"variants": {"a": {}}},
        "learnt": {"adapter": "nnunet", "prompt": "structure"},
        "box": {"adapter": "box-fill", "prompt": "box3d"},
    },
}


def rates(*rows: dict[str, Any], **more: Any) -> Rates:
    told = [{"basis": "measured", "source": "here", **row} for row in rows]
    content = {
        "gpu_tflops": 2,
        "core_gflops": 50,
        "slices_per_object": 10,
        "slices_per_scan": 20,
        "rates": told,
    }
    content |= more
    return Rates.read(content, "rates.yaml")


@pytest.mark.parametrize(
    ("of", "per", "units"),
    [
        ("prepare", "scan", 41 + 64),
        ("prompts", "object", 41 + 128),
        ("score", "row", (169 + 169) * (3 + 1 + 1) + 169),
        ("start", "job", 2 * 2 * 4),
        ("read", "scan of a method", 105 * 3),
        ("pam-2dmask", "prompt", 169 * (3 + 1)),
        ("pam-2dmask", "slice", 169 * (3 + 1) * 10),
        ("pam-2dmask", "slice of a scan", 105 * 20),
        ("pam-2dmask", "slice of a scan, per prompt", 169 * (3 + 1) * 20),
        ("nnunet", "dataset", 2),
        ("nnunet", "prompt", 169),
        ("box-fill", "prompt", 169),
    ],
)
def test_what_is_counted(
    of: str, per: str, units: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = work(Study.read(STUDY, "s"), rates({"of": of, "per": per, "cpu_s": 36}))
    (mine,) = [item for item in done if item.rate.basis == "measured"]
    assert mine.units == units
    assert mine.cpu_hours == pytest.approx(units / 100)
    assert mine.gpu_hours is None


@pytest.mark.parametrize("dataset", ["P02", "P11"])  # each patient of P11 has two scans
def test_generated_scans_are_counted_before_they_are_made(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = catalogue.load(dataset)
    assert isinstance(entry.source, PhantomSource)
    _, patient = phantoms.make(entry.source.recipe, 1, entry.source.seed)
    assert count(entry, rates()).scans == entry.source.scans * len(patient.scans)


def test_the_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = rates(
        {"of": "prepare", "per": "scan", "cpu_s": 3600},
        {"of": "pam-2dmask", "per": "prompt", "gpu_gflop": 2000 * 3600, "bytes": 1e7},
        {"of": "nnunet", "per": "dataset", "gpu_s": 3600 * 35},
    )
    study = Study.read(STUDY, "s")
    told = "\n".join(text(work(study, table), gpus=7, cores=2))
    assert "| all | | | 105 | 746 | |" in told
    assert "107 hours of the GPUs and 52 of the cores" in told
    assert "the GPUs, 91% of whose hours go to slow" in told
    assert "7 GB, beside the data" in told
    assert "nobody knows the rate: box." in told
    more = "\n".join(text(work(study, table, objects=210), gpus=7, cores=2))
    assert "| all | | | 105 | 910 | |" in more


def test_without_a_gpu_the_cores_do_its_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = rates(
        {"of": "prepare", "per": "scan", "cpu_s": 3600},
        {"of": "pam-2dmask", "per": "prompt", "gpu_gflop": 50 * 3600, "bytes": 1e4},
        {"of": "nnunet", "per": "dataset", "gpu_s": 3600 * 35},
    ).without_gpu()
    study = Study.read(STUDY, "s")
    done = work(study, table)
    by_of = {item.rate.of: item for item in done}
    assert by_of["pam-2dmask"].cpu_hours == by_of["pam-2dmask"].units
    assert all(item.gpu_hours is None for item in done)
    told = "\n".join(text(done, gpus=0, cores=2))
    hours = by_of["prepare"].units + by_of["pam-2dmask"].units
    assert f"On 2 cores, without a GPU: {hours / 2:,.0f} hours." in told
    assert "the cores, 87% of whose hours go to slow." in told
    assert "nobody knows the rate: learnt, box." in told
    assert f"Results on the disk: {by_of['pam-2dmask'].units / 1e5:.1g} GB" in told
    assert "GPU" not in memory(study, done, gpus=0, cores=2)
    assert longest_job(study, table).method == "slow"


def test_a_method_has_all_its_rates_and_only_those_of_its_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    box = {"methods": {"box": {"adapter": "pam-2dbox", "prompt": "box2d", "weights": "pam-small"}}}
    table = rates(
        {"of": "pam-2dbox", "per": "dataset", "gpu_s": 3600},
        {"of": "pam-2dbox", "per": "dataset", "gpu_s": 7200, "protocols": ["rigorous"]},
        {"of": "pam-2dbox", "per": "dataset", "gpu_s": 36000, "protocols": ["paper"]},
        {"of": "collect", "per": "dataset", "gpu_s": 7200},
    )
    for protocol, hours, share in (("rigorous", 6, "60%"), ("paper", 22, "85%")):
        done = work(Study.read(STUDY | box | {"protocol": protocol}, "s"), table)
        assert sum(item.gpu_hours or 0 for item in done if item.name == "box") == hours
        told = "\n".join(text(done, gpus=1, cores=1))
        assert f"{share} of whose hours go to box." in told


def test_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An analysis holds twenty times the size of the scores, and claims 4 GB at least."""
    monkeypatch.chdir(tmp_path)
    study = Study.read(STUDY, "s")
    rows = (169 + 169) * (3 + 1 + 1) + 169
    for size, told in ((3e9 / rows, "60 GB"), (1, "4 GB")):
        table = rates({"of": "collect", "per": "row", "cpu_s": 1, "bytes": size})
        claimed = memory(study, work(study, table), gpus=2, cores=2)
        assert "32 GB for one on a GPU, 4 GB on a core; 72 GB at most." in claimed
        assert f"each analysis claims {told};" in claimed


def test_the_longest_job_is_one_shard_of_a_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slow = {"of": "pam-2dmask", "per": "prompt", "gpu_s": 36}
    trained = {"of": "nnunet", "per": "dataset", "gpu_s": 1e9}
    table = rates(slow, {**slow, "per": "scan"}, trained)
    study = Study.read(STUDY, "s")
    # T2 and ADC of 32 scans with two zones each, at three deviations and one variant, in two shards
    job = longest_job(study, table)
    assert (job.method, job.dataset) == ("slow", "D33")
    assert job.hours == pytest.approx((128 * 4 + 64) * 36 / 3600 / study.entries["D33"].shards)
    twice = longest_job(study, table, 2 * (41 + 128))
    assert twice.hours == pytest.approx((256 * 4 + 64) * 36 / 3600 / study.entries["D33"].shards)
    known = rates(slow, {**slow, "per": "scan"}, trained, objects={"D17": 41})
    rest = longest_job(study, known, 41 + 3 * 128)
    assert rest.hours == pytest.approx((384 * 4 + 64) * 36 / 3600 / study.entries["D33"].shards)
    assert longest(job).startswith("The longest job: ")
    assert "hours, slow on a shard of D33;" in longest(job)


def test_trainings_are_told_to_be_left_out() -> None:
    """Three seeds fine-tuned on ten datasets each, ten from scratch, five settings by three."""
    named = {name: load_yaml(ROOT / "config" / f"{name}.yaml") for name in ("training", "paper")}
    told = trainings(Study.read(named["training"], "training"))
    assert told
    assert f"{3 * 10 + 10 + 5 * 3} trainings" in told
    assert trainings(Study.read(named["paper"], "paper")) is None


def test_the_rates_of_the_project_are_found_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["estimate", str(ROOT / "config" / "quickstart.yaml")])
    assert done.exit_code == 0, done.output
    assert "| all | | |" in done.stdout


def test_what_was_prepared_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (entry, _) = Study.read(STUDY, "s").entries.values()
    assert count(entry, rates(objects={"D17": 99})).objects == 99
    at = {"dataset": "D17", "shard": 0}
    scans = [{"scan": f"{n}"} for n in range(5)]
    write_table(scans, prepare.IMAGE_SCHEMA, paths.at(paths.IMAGES, **at))
    assert count(entry, rates()).scans == 41
    write_table(scans[:4] * 2, objects.SCHEMA, paths.at(paths.OBJECTS, **at))
    found = count(entry, rates(objects={"D17": 99}))
    assert (found.scans, found.objects, found.structures, found.known) == (5, 8, 5, True)


@pytest.mark.parametrize(
    ("name", "scans"),
    [
        ("D22", 4 * 1251),
        ("D34@released", 2 * 170),
        ("D39", 513),
        ("D39@released", 393),
        ("D41@released", 120),
        ("D43@released", 20),
    ],
)
def test_scans_are_those_that_are_prepared(
    name: str, scans: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel of each may be a scan, and the authors' variant may have fewer."""
    monkeypatch.chdir(tmp_path)
    assert count(catalogue.load(name), rates()).scans == scans


def test_a_number_of_scans_that_nobody_knows_is_asked_for() -> None:
    (entry,) = Study.read(STUDY | {"datasets": ["D29"]}, "s").entries.values()
    with pytest.raises(
        UserError, match=r"how many scans D29 has.*under scans in the entry.*"
    ) as told:
        count(entry, rates())
    assert "snakemake --configfile STUDY --until prepare" in str(told.value)
    assert count(entry, rates(scans={"D29": 7})).scans == 7


@pytest.mark.parametrize("row", [{}, {"cpu_s": 1, "gpu_s": 1}, {"cpu_s": 1, "basis": "not known"}])
def test_a_rate_has_one_cost_or_is_not_known(row: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="one of cpu_s, gpu_s, gpu_gflop"):
        rates({"of": "prepare", "per": "scan", **row})


def test_docs_scale_shows_the_estimate_of_the_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study.read(load_yaml(ROOT / "config" / "paper.yaml"), "paper")
    table = Rates.read(load_yaml(ROOT / "config" / "rates.yaml"), "rates")
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done = work(study, table)
    job = longest(longest_job(study, table))
    told = [*text(done, gpus=4, cores=32), job, memory(study, done, gpus=4, cores=32)]
    assert "\n".join(told) in page
    with (ROOT / "reports" / "paper" / "numbers.csv").open(encoding="utf-8", newline="") as file:
        stated = {row["key"]: row["stated"] for row in csv.DictReader(file)}
    found = int(stated["n_3d_objects"])
    assert f"{found:,} objects; with `--objects {found}`" in page.replace("\n", " ")
    done = work(study, table, found)
    job = longest(longest_job(study, table, found))
    more = [*list(text(done, gpus=4, cores=32))[-3:], job, memory(study, done, gpus=4, cores=32)]
    assert "\n".join(more) in page
